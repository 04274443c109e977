/* Mote: few-step diffusion UNets on the GPU of a phone or a board, through Vulkan.
 *
 * This header is the whole public interface and its manual. It compiles as C99 and as C++17 and includes
 * nothing but <stddef.h> and <stdint.h>.
 *
 *     mote_device   a Vulkan device with its compiled pipelines
 *     mote_model    a .mote file on a device: its weights, once
 *     mote_session  one image size and one recipe of a model: memory, recorded commands, inputs and outputs
 *
 * Rules that hold for every function:
 *   - What can fail returns a mote_status. On any but MOTE_OK, mote_last_message() tells the calling thread
 * what was wrong, where, what was found and what was expected; a null handle or a null pointer that is not
 * said to be optional is MOTE_INVALID_ARGUMENT. The library never prints, never aborts, and throws nothing.
 *   - Structs start with `struct_size`, those that the library fills, too; begin with their _INIT macro
 * (MOTE_SESSION_DESC_INIT and so on), then set fields. Fields added by later versions keep their defaults for
 * callers compiled against this one.
 *   - Strings are UTF-8 and zero-terminated. Pointers in descriptors are borrowed for the length of the call,
 * unless the field says otherwise. A callback's arguments are valid until it returns.
 *   - Create functions write the handle only when they succeed. Destroy functions take NULL. Handles are
 * destroyed in any order: a session keeps its model, and a model its device, alive as long as they need them.
 *
 * Threads: a device and a model may be used from any threads at once. A session is used by one thread at a
 * time, except mote_session_cancel, mote_session_poll, mote_session_wait and mote_session_message, which any
 * thread may call at any time between creation and destruction; while a run is under way all others but
 * mote_session_destroy give MOTE_INVALID_ARGUMENT. Callbacks come from the thread inside the call, or from
 * the session's worker between mote_session_submit and the end of that run; a callback must not call
 * functions of the same session other than mote_session_cancel.
 */
#ifndef MOTE_MOTE_H
#define MOTE_MOTE_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define MOTE_API
#elif defined(__GNUC__)
#define MOTE_API __attribute__((visibility("default")))
#else
#define MOTE_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* -------------------------------------------------------------------------------------- version, errors */

#define MOTE_VERSION_MAJOR 0
#define MOTE_VERSION_MINOR 1
#define MOTE_VERSION_PATCH 0
#define MOTE_VERSION ((MOTE_VERSION_MAJOR << 22) | (MOTE_VERSION_MINOR << 12) | MOTE_VERSION_PATCH)

/* The version of the library in use, packed like MOTE_VERSION. */
MOTE_API uint32_t mote_version(void);
/* The same as text, "0.1.0". Static storage. */
MOTE_API const char *mote_version_string(void);

typedef enum mote_status {
    MOTE_OK = 0,
    MOTE_INVALID_ARGUMENT = 1, /* a null, a size, a name, an order of calls */
    MOTE_INVALID_MODEL = 2,    /* the file is damaged, hostile, or not a .mote file */
    MOTE_UNSUPPORTED = 3,      /* well-formed, but this version or this device cannot do it */
    MOTE_NOT_FOUND = 4,        /* no such file, port, recipe or device */
    MOTE_IO_ERROR = 5,         /* reading or writing failed */
    MOTE_OUT_OF_MEMORY = 6,    /* host, device, or the budget given; the message has the figure needed */
    MOTE_NO_VULKAN = 7,        /* no Vulkan loader, no Vulkan 1.1, or no device with compute */
    MOTE_DEVICE_LOST = 8,      /* the device is gone: destroy its handles, create a new one */
    MOTE_CANCELLED = 9,        /* the app cancelled it; a run has no output */
    MOTE_NON_FINITE = 10,      /* the model produced infinities or NaNs; there is no output */
    MOTE_CHECK_FAILED = 11,    /* the self-check found wrong results on this device */
    MOTE_NOT_READY = 12,       /* poll, wait: the run is still under way */
    MOTE_INTERNAL = 13         /* a defect in Mote */
} mote_status;

/* "MOTE_OUT_OF_MEMORY" for MOTE_OUT_OF_MEMORY. Static storage; "MOTE_?" for unknown values. */
MOTE_API const char *mote_status_name(mote_status status);

/* The message of the last call on this thread that did not return MOTE_OK; "" before there was one. Valid
 * until the next call of the library on this thread. */
MOTE_API const char *mote_last_message(void);

/* ---------------------------------------------------------------------------------------------- devices */

typedef struct mote_device mote_device;

typedef enum mote_device_type {
    MOTE_DEVICE_OTHER = 0,
    MOTE_DEVICE_INTEGRATED = 1,
    MOTE_DEVICE_DISCRETE = 2,
    MOTE_DEVICE_VIRTUAL = 3,
    MOTE_DEVICE_CPU = 4
} mote_device_type;

typedef struct mote_device_properties {
    size_t struct_size;
    uint32_t index; /* for mote_device_desc.index */
    mote_device_type type;
    char name[256];
    char driver[256];     /* driver name and version as the driver tells them, or its number */
    uint32_t api_version; /* packed like VkPhysicalDeviceProperties::apiVersion */
    uint32_t vendor_id, device_id;
    uint64_t device_local_bytes; /* the largest device-local heap */
    uint64_t max_allocation_bytes;
    uint64_t max_storage_buffer_bytes;
    uint32_t max_workgroup_invocations, max_shared_memory_bytes, subgroup_size;
    int32_t has_fp16_arithmetic, has_16bit_storage, has_timestamps;
} mote_device_properties;
#define MOTE_DEVICE_PROPERTIES_INIT                                                                          \
    { sizeof(mote_device_properties), 0, MOTE_DEVICE_OTHER, {0}, {0}, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }

/* Lists the Vulkan devices that can run Mote. On input *count is the room in `devices`; on output the number
 * of devices there are; at most the room given is filled. `devices` may be NULL when *count is 0. Each
 * element's struct_size must be set, all alike. MOTE_NO_VULKAN when there is no loader or no such device. */
MOTE_API mote_status mote_enumerate_devices(mote_device_properties *devices, uint32_t *count);

typedef enum mote_log_level { MOTE_LOG_ERROR = 0, MOTE_LOG_WARNING = 1, MOTE_LOG_INFO = 2 } mote_log_level;
/* Called from any thread that uses the device, possibly from several at once. */
typedef void (*mote_log_callback)(void *user, mote_log_level level, const char *message);

/* A Vulkan device that the app made and lends. Handles are VkInstance, VkPhysicalDevice, VkDevice, VkQueue;
 * they must outlive the mote_device and everything made from it. The instance and the device must be of
 * Vulkan 1.1 or later, the queue family must have compute. `lock` and `unlock`, both or neither, are called
 * around every use of the queue. */
typedef struct mote_vulkan_device {
    size_t struct_size;
    void *get_instance_proc_addr; /* PFN_vkGetInstanceProcAddr */
    void *instance, *physical_device, *device, *queue;
    uint32_t queue_family;
    void (*lock)(void *user);
    void (*unlock)(void *user);
    void *user;
} mote_vulkan_device;
#define MOTE_VULKAN_DEVICE_INIT                                                                              \
    { sizeof(mote_vulkan_device), NULL, NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL }

typedef struct mote_device_desc {
    size_t struct_size;
    int32_t index; /* of mote_enumerate_devices; -1: by name, or the best (discrete, integrated, ..., CPU) */
    const char *name; /* a part of the device's name; NULL: any */
    /* An existing directory for compiled pipelines, tuned kernels and measured times; NULL: nothing is read
     * or written. */
    const char *cache_directory;
    /* NULL: silent. May be called until the device and all that was made from it are destroyed. */
    mote_log_callback log;
    void *log_user;
    const mote_vulkan_device *vulkan; /* NULL: Mote makes its own */
} mote_device_desc;
#define MOTE_DEVICE_DESC_INIT                                                                                \
    { sizeof(mote_device_desc), -1, NULL, NULL, NULL, NULL, NULL }

/* Opens libvulkan on first use and makes a device. `desc` NULL: the defaults. */
MOTE_API mote_status mote_device_create(const mote_device_desc *desc, mote_device **device);
MOTE_API void mote_device_destroy(mote_device *device);
/* What mote_enumerate_devices says of it. */
MOTE_API mote_status mote_device_get_properties(const mote_device *device,
                                                mote_device_properties *properties);

/* ----------------------------------------------------------------------------------------------- models */

typedef struct mote_model mote_model;

/* Reads exactly `size` bytes at `offset` into `buffer`; 0 on success, anything else is an error. Called by
 * one thread at a time. */
typedef int (*mote_read_callback)(void *user, uint64_t offset, void *buffer, size_t size);

/* Exactly one of path, data, fd (with use_fd set) and read is given. The source is read during
 * mote_model_open alone; data, fd and the callback are not used after it returns. */
typedef struct mote_model_desc {
    size_t struct_size;
    const char *path;
    const void *data; /* with `size` */
    uint64_t size;    /* of data, of the part of fd (0: to its end), or behind `read` */
    int32_t use_fd;   /* non-zero: fd and offset are given (an Android asset, say) */
    int32_t fd;       /* not closed; its file position is left alone */
    uint64_t offset;
    mote_read_callback read;
    void *read_user;
    const char *name; /* for messages, where there is no path; NULL: "model" */
} mote_model_desc;
#define MOTE_MODEL_DESC_INIT                                                                                 \
    { sizeof(mote_model_desc), NULL, NULL, 0, 0, -1, 0, NULL, NULL, NULL }

/* Checks the file and puts its weights on the device. `device` may be NULL: then every weight is checked but
 * kept nowhere, and the model serves mote_model_describe and mote_model_estimate only. */
MOTE_API mote_status mote_model_open(mote_device *device, const mote_model_desc *desc, mote_model **model);
MOTE_API void mote_model_destroy(mote_model *model);

/* --------------------------------------------------------------------------------------------- sessions */

typedef struct mote_session mote_session;

typedef struct mote_session_desc {
    size_t struct_size;
    /* Of the picture that comes out, in pixels; at least 1x1, less than 2^32 in all. The image's fp32 planes
     * lie in bands of rows that the device can bind, so that only memory limits its size: MOTE_OUT_OF_MEMORY
     * tells what is needed. MOTE_UNSUPPORTED where a single row does not fit in a binding (millions of
     * pixels). */
    uint32_t width, height;
    uint32_t steps;         /* the recipe with this number of steps; 0: by `recipe`, or the file's first */
    const char *recipe;     /* the recipe's name; NULL: by `steps` */
    uint64_t memory_budget; /* device memory for session and model, in bytes; 0: what the device has */
    /* 0: the whole image if it fits the budget, else the largest tile that does. Rounded up to the model's
     * size multiple; GroupNorm statistics are per tile. */
    uint32_t tile_width, tile_height;
    uint32_t submission_milliseconds; /* no submission holds the GPU for longer; 0: 50 */
    /* Images of a run, all of one size; 0: 1, at most 4096. Image i of a batch is the one that a batch of 1
     * makes from the same inputs with the run's seed + i, to the bit where both are cut into the same tiles.
     */
    uint32_t batch;
} mote_session_desc;
#define MOTE_SESSION_DESC_INIT                                                                               \
    { sizeof(mote_session_desc), 0, 0, 0, NULL, 0, 0, 0, 0, 0 }

typedef struct mote_estimate {
    size_t struct_size;
    uint64_t peak_bytes; /* device memory: weights + activations + images + staging */
    uint64_t weight_bytes, activation_bytes, image_bytes, staging_bytes;
    uint64_t operations; /* multiplications and additions of one whole run, all steps and tiles */
    uint32_t tile_width, tile_height, tile_count; /* one tile of the padded image's size: not tiled */
    uint32_t tile_overlap;                        /* pixels that neighbouring tiles share at least */
    uint64_t activation_bound_bytes; /* the most alive at once: no plan of activations can need less */
} mote_estimate;
#define MOTE_ESTIMATE_INIT                                                                                   \
    { sizeof(mote_estimate), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }

/* What a session made from `desc` would need; allocates nothing on the device. MOTE_OUT_OF_MEMORY, with
 * `estimate` filled for the smallest tile, when even that exceeds the budget. */
MOTE_API mote_status mote_model_estimate(const mote_model *model, const mote_session_desc *desc,
                                         mote_estimate *estimate);

/* `fraction` grows from 0 to 1. `what` names the present stage. */
typedef void (*mote_progress_callback)(void *user, float fraction, const char *what);

typedef struct mote_tune_desc {
    size_t struct_size;
    uint32_t milliseconds;           /* at most, give or take one kernel, compiling included; 0: 20,000 */
    mote_progress_callback progress; /* NULL: none */
    void *progress_user;
} mote_tune_desc;
#define MOTE_TUNE_DESC_INIT                                                                                  \
    { sizeof(mote_tune_desc), 0, NULL, NULL }

typedef struct mote_tuning {
    size_t struct_size;
    uint32_t shapes;  /* ops that differ in kind or shape and have more than one kernel */
    uint32_t timed;   /* of these, by this call; the others were known, or the time was up */
    uint32_t changed; /* of all, those that will run another kernel than an untuned session takes */
    double milliseconds;
} mote_tuning;
#define MOTE_TUNING_INIT                                                                                     \
    { sizeof(mote_tuning), 0, 0, 0, 0 }

/* Finds the fastest kernels for sessions like `desc` by timing them on the model's device, each op and shape
 * once; sessions that are created afterwards use them. Without this call kernels are chosen by rules, always
 * alike. What is found is kept in the device's cache directory, for all models, and is good for the device,
 * driver and Mote version that it was found with: the same call on the next start times nothing and takes a
 * millisecond. Without a cache directory it lasts as long as the model.
 *
 * Takes seconds, on the calling thread, and memory for the largest op's inputs and outputs until it returns;
 * nothing else should use the device meanwhile. A kernel is taken only where it is faster by a twentieth and
 * its output agrees with that of the rules' choice; outputs differ from an untuned session's by rounding.
 * Where the time is up, the ops that were not reached stay with the rules, and the next call goes on with
 * them: MOTE_OK. MOTE_CANCELLED: mote_model_cancel_tuning was called; what was found until then is kept. An
 * op at which the process or the device died is left to the rules from then on. `tune` NULL: the defaults;
 * `tuning` may be NULL. */
MOTE_API mote_status mote_model_tune(mote_model *model, const mote_session_desc *desc,
                                     const mote_tune_desc *tune, mote_tuning *tuning);
/* Asks the tuning that is under way to stop; from any thread. Does nothing when none is. */
MOTE_API void mote_model_cancel_tuning(mote_model *model);

/* Plans, allocates and records. The budget is honoured, or refused with the figure needed. */
MOTE_API mote_status mote_session_create(mote_model *model, const mote_session_desc *desc,
                                         mote_session **session);
/* Cancels a run that is under way and waits for it. */
MOTE_API void mote_session_destroy(mote_session *session);

typedef struct mote_prepare_desc {
    size_t struct_size;
    mote_progress_callback progress; /* NULL: none */
    void *progress_user;
    int32_t skip_self_check; /* non-zero: do not play the file's self-check */
} mote_prepare_desc;
#define MOTE_PREPARE_DESC_INIT                                                                               \
    { sizeof(mote_prepare_desc), NULL, NULL, 0 }

/* Makes the first run as fast as the next: compiles what is not compiled, measures this device to cut the
 * submissions (what the cache directory has is not measured again), and plays the file's self-check (once per
 * model). A run prepares by itself, without the self-check, when this was not called. `desc` NULL: the
 * defaults. */
MOTE_API mote_status mote_session_prepare(mote_session *session, const mote_prepare_desc *desc);

/* -------------------------------------------------------------------------------------- inputs, outputs */

typedef enum mote_pixel_format {
    MOTE_GRAY8 = 1, /* 1 byte a pixel; stands for equal red, green and blue */
    MOTE_RGB8 = 3,
    MOTE_RGBA8 = 4 /* straight alpha: the model does not see it, and it goes from the input to an RGBA output;
                      255 where the input has none */
} mote_pixel_format;

typedef struct mote_image {
    size_t struct_size;
    mote_pixel_format format;
    uint32_t width, height;
    size_t stride; /* bytes from a row to the next; 0: width * bytes a pixel */
    void *pixels;  /* sRGB bytes, row by row from the top */
} mote_image;
#define MOTE_IMAGE_INIT                                                                                      \
    { sizeof(mote_image), MOTE_RGB8, 0, 0, 0, NULL }

/* [N, C, H, W], N slowest, dense, fp32, in the model's own range. */
typedef struct mote_tensor {
    size_t struct_size;
    uint32_t shape[4];
    float *data;
} mote_tensor;
#define MOTE_TENSOR_INIT                                                                                     \
    { sizeof(mote_tensor), {0}, NULL }

/* Binds an input by port name. mote_model_describe lists the ports that the app feeds ("condition", ...).
 * Further names are "x_start" [N, C, H, W], the state before the first step, and "step_noise" [S * N, C, H,
 * W], step after step, the normals of every step that draws (rows of steps that draw none are not read); what
 * is absent is drawn from the run's seed. A recipe with a known region (flag "known region" of the
 * description) needs two more, as tensors or images: "mask" [N, 1, H, W], 1 or white where the model is to
 * fill in, and "known" [N, C, H, W], the picture around it; an inpainting model has the two as ports. Images
 * have the session's size, or that divided by 2 or 4 for the "condition" of a super-resolution model, which
 * is enlarged (the task of the description says so; FORMAT.md what each task makes of its inputs). They are
 * mapped from 0..255 to the port's range; tensors have the session's H and W, or the padded ones (multiples
 * of the model's size multiple; smaller ones are reflected up). The struct is copied, the pixels and floats
 * are borrowed: they must stay until the run that uses them has ended, or another binding replaces them. NULL
 * unbinds. */
MOTE_API mote_status mote_session_bind_image(mote_session *session, const char *port,
                                             const mote_image *image);
/* The same with one image for each of the batch. Elements of the array are as far apart as the first one's
 * struct_size says. NULL unbinds. */
MOTE_API mote_status mote_session_bind_images(mote_session *session, const char *port,
                                              const mote_image *images, uint32_t count);
MOTE_API mote_status mote_session_bind_tensor(mote_session *session, const char *port,
                                              const mote_tensor *tensor);

/* What a class-conditional model is asked for, one for each image of the batch: a label from 0 to one less
 * than the model's number of classes, or, with models that take vectors instead, `length` numbers. Copied;
 * they stay set for all following runs. NULL unsets. mote_model_describe says which a model takes, and how
 * many classes or numbers. */
MOTE_API mote_status mote_session_set_class_labels(mote_session *session, const int64_t *labels,
                                                   uint32_t count);
MOTE_API mote_status mote_session_set_class_vectors(mote_session *session, const float *vectors,
                                                    uint32_t count, uint32_t length);

/* The scale of classifier-free guidance in all guided steps of the recipe, for all following runs; NULL: the
 * recipe's own. A scale of 1 costs one forward pass, any other two, which run as one batch.
 * MOTE_INVALID_ARGUMENT where the recipe has no guided step. */
MOTE_API mote_status mote_session_set_guidance(mote_session *session, const float *scale);

/* Where the final state goes: as an image (clamped and rounded to nearest; inpainting keeps the known pixels,
 * colourisation joins luma and chroma; one, or an array with one for each of the batch), as a tensor
 * [N, C, H, W] of the session's or the padded size, or both. Written only when a run succeeds. Borrowed like
 * inputs. NULL unbinds. */
MOTE_API mote_status mote_session_bind_output_image(mote_session *session, const mote_image *image);
MOTE_API mote_status mote_session_bind_output_images(mote_session *session, const mote_image *images,
                                                     uint32_t count);
MOTE_API mote_status mote_session_bind_output_tensor(mote_session *session, const mote_tensor *tensor);

/* ---------------------------------------------------------------------------------------------- running */

typedef enum mote_noise_source {
    MOTE_NOISE_PHILOX = 0, /* drawn on the device; a pixel's normals do not depend on the picture's size */
    /* What torch.randn gives on a CPU, with torch.Generator().manual_seed(seed), for the start and then for
     * each step that draws, in shape [1, C, H, W] with the padded H and W. Drawn on the host, one after the
     * other, and uploaded; equal to PyTorch's within a few units in the last place. Its generator sees the
     * low 32 bits of the seed. Image n of a batch has a generator of its own, of seed + n. */
    MOTE_NOISE_TORCH = 1
} mote_noise_source;

struct mote_trace;
/* The sampler's present estimate of the finished picture, once for each image of the batch after every
 * forward pass (`step` counts them from 0): RGBA of the session's size, valid until the callback returns.
 * Coarse at first, the picture itself in the end. Reading it back makes the GPU wait. */
typedef void (*mote_preview_callback)(void *user, uint32_t step, uint32_t image, const mote_image *picture);

typedef struct mote_run_desc {
    size_t struct_size;
    /* Of everything that is drawn: the same seed gives the same normals on every device. Image i of a batch
     * draws from seed + i (modulo 2^64). */
    uint64_t seed;
    mote_progress_callback progress; /* after each submission */
    void *progress_user;
    const struct mote_trace *trace; /* inspection, below; NULL: none */
    mote_noise_source noise;
    mote_preview_callback preview; /* NULL: none. Needs an output that an image can show */
    void *preview_user;
    /* Between two seeds, 0 (`seed`) to 1 (`other_seed`): normals cos(a) z(seed) + sin(a) z(other_seed) with
     * a = seed_mix * pi / 2, the spherical interpolation of vectors that are orthogonal, as normals of two
     * seeds are but for chance. They are normals again. */
    float seed_mix;
    uint64_t other_seed;
} mote_run_desc;
#define MOTE_RUN_DESC_INIT                                                                                   \
    { sizeof(mote_run_desc), 0, NULL, NULL, NULL, MOTE_NOISE_PHILOX, NULL, NULL, 0, 0 }

/* Runs all steps and returns when the outputs are written. `desc` NULL: the defaults (seed 0). A run that
 * fails leaves the outputs as they were, and the session usable unless the device is lost. */
MOTE_API mote_status mote_session_run(mote_session *session, const mote_run_desc *desc);

/* The same in the session's own worker thread; returns at once. MOTE_INVALID_ARGUMENT while a run is under
 * way. */
MOTE_API mote_status mote_session_submit(mote_session *session, const mote_run_desc *desc);
/* MOTE_NOT_READY while the submitted run is under way, then its status, again at every call. `fraction` may
 * be NULL. */
MOTE_API mote_status mote_session_poll(mote_session *session, float *fraction);
/* Waits for the submitted run, at most `milliseconds` (UINT32_MAX: without limit); MOTE_NOT_READY when they
 * have passed, else the run's status. */
MOTE_API mote_status mote_session_wait(mote_session *session, uint32_t milliseconds);
/* Asks the run that is under way to stop; it does at its next submission and then ends with MOTE_CANCELLED.
 * Does nothing when none is. */
MOTE_API void mote_session_cancel(mote_session *session);
/* The message of this session's last run, "" if it succeeded; for a thread other than the one that ran. Valid
 * until the next run. */
MOTE_API const char *mote_session_message(const mote_session *session);

/* ---------------------------------------------------------------------------------------------- inspection
 * For tools: describing, tracing, checking and timing. Apps that run models need none of it. */

/* The model as JSON text (FORMAT.md lists the keys). Owned by the model. */
MOTE_API const char *mote_model_describe(const mote_model *model);

typedef struct mote_session_info {
    size_t struct_size;
    uint32_t width, height, padded_width, padded_height;
    uint32_t steps; /* rows of the recipe: forward passes of a run */
    uint32_t tile_width, tile_height, tile_count;
    uint32_t dispatches;      /* of one forward pass of one tile */
    uint32_t pipelines;       /* distinct ones that the session uses */
    uint32_t submissions;     /* of a run, as cut at present */
    uint64_t planned_bytes;   /* the estimate's peak_bytes */
    uint64_t allocated_bytes; /* live vkAllocateMemory bytes of the whole device now */
    uint64_t peak_allocated_bytes;
    /* Wall time of the calls, 0 if not made. */
    double open_milliseconds, create_milliseconds, prepare_milliseconds;
    uint32_t batch;
} mote_session_info;
#define MOTE_SESSION_INFO_INIT                                                                               \
    { sizeof(mote_session_info), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }
MOTE_API mote_status mote_session_get_info(const mote_session *session, mote_session_info *info);

/* Called with fp32 values in NCHW, padded size. step: 0 for the first row. "x": the state before row `step`,
 * in the scheduler's own scale, and once more after the last row with step = rows. "model_output": what the
 * model returned in row `step`, after guidance. With ops != 0, every op's output by the op's name (whole
 * images only, not tiled), but for group norms that the convolution behind them makes while it reads: what
 * they make is nowhere. Tracing waits for the GPU at each of them. */
typedef void (*mote_trace_callback)(void *user, uint32_t step, const char *tensor, const uint32_t shape[4],
                                    const float *data);
typedef struct mote_trace {
    size_t struct_size;
    mote_trace_callback callback;
    void *user;
    int32_t ops;
} mote_trace;
#define MOTE_TRACE_INIT                                                                                      \
    { sizeof(mote_trace), NULL, NULL, 0 }

/* One forward pass at row `step` of the session's recipe, from the bound "x_start" and other inputs; `output`
 * receives the model's output [N, C, H, W], after guidance, of the session's or the padded size.
 * MOTE_UNSUPPORTED where the session is tiled. */
MOTE_API mote_status mote_session_evaluate(mote_session *session, uint32_t step, const mote_tensor *output);

/* Result of one op of the self-check: the largest |found - expected| over the op's samples, as a fraction of
 * its tolerance (above 1: failed). op_name "" and kind "output": the whole final output. A group norm that
 * the convolution behind it makes while it reads is checked with that convolution, and not called for. */
typedef void (*mote_check_callback)(void *user, uint32_t op, const char *op_name, const char *kind,
                                    float fraction);
/* Plays the file's self-check on the model's device: MOTE_OK, MOTE_CHECK_FAILED with the first failing op in
 * the message, or MOTE_UNSUPPORTED when the file has none. `callback` may be NULL. */
MOTE_API mote_status mote_model_check(mote_model *model, mote_check_callback callback, void *user);

/* GPU time of one forward pass of one tile, op by op; `count` as in mote_enumerate_devices. Runs the pass
 * once with a timestamp around each op. A group norm that the convolution behind it makes while it reads has
 * no dispatch and no time: both are the convolution's. MOTE_UNSUPPORTED where the device has no timestamps.
 */
typedef struct mote_op_time {
    size_t struct_size;
    char name[128];
    char kind[32];
    uint32_t dispatches;
    uint64_t operations, bytes; /* multiplications and additions; bytes read and written at least once */
    double milliseconds;
} mote_op_time;
#define MOTE_OP_TIME_INIT                                                                                    \
    { sizeof(mote_op_time), {0}, {0}, 0, 0, 0, 0 }
MOTE_API mote_status mote_session_measure(mote_session *session, mote_op_time *ops, uint32_t *count);

#ifdef __cplusplus
}
#endif

#endif
