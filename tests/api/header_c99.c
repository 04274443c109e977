/* mote.h as C99 sees it, with the initialisers used as documented. */
#include "mote/mote.h"

int mote_header_compiles_as_c99(void);

int mote_header_compiles_as_c99(void) {
    mote_device_properties properties = MOTE_DEVICE_PROPERTIES_INIT;
    mote_vulkan_device vulkan = MOTE_VULKAN_DEVICE_INIT;
    mote_device_desc device = MOTE_DEVICE_DESC_INIT;
    mote_model_desc model = MOTE_MODEL_DESC_INIT;
    mote_session_desc session = MOTE_SESSION_DESC_INIT;
    mote_estimate estimate = MOTE_ESTIMATE_INIT;
    mote_prepare_desc prepare = MOTE_PREPARE_DESC_INIT;
    mote_image image = MOTE_IMAGE_INIT;
    mote_tensor tensor = MOTE_TENSOR_INIT;
    mote_run_desc run = MOTE_RUN_DESC_INIT;
    mote_session_info info = MOTE_SESSION_INFO_INIT;
    mote_trace trace = MOTE_TRACE_INIT;
    mote_op_time time = MOTE_OP_TIME_INIT;
    return properties.struct_size == sizeof properties && vulkan.struct_size == sizeof vulkan &&
           device.struct_size == sizeof device && device.index == -1 && model.struct_size == sizeof model &&
           model.fd == -1 && session.struct_size == sizeof session &&
           estimate.struct_size == sizeof estimate && prepare.struct_size == sizeof prepare &&
           image.struct_size == sizeof image && image.format == MOTE_RGB8 &&
           tensor.struct_size == sizeof tensor && run.struct_size == sizeof run &&
           info.struct_size == sizeof info && trace.struct_size == sizeof trace &&
           time.struct_size == sizeof time && mote_version() == MOTE_VERSION;
}
