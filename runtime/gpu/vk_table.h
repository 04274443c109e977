// The Vulkan functions that Mote uses, as one list, and the tables that hold them.
//
// There is no vk* symbol in the library and no global table: a table belongs to one instance or one device,
// so an app may use Vulkan itself, lend us its device, or hold several of ours. A test injects a fault by
// replacing one pointer in one table.
#pragma once

#ifndef VK_NO_PROTOTYPES
#define VK_NO_PROTOTYPES
#endif
#include <vulkan/vulkan_core.h>

#include "gpu/cooperative_matrix.h"
#include "model/status.h"

// Found with a null instance. O: may be null, as only a loader of Vulkan 1.0 leaves it.
#define MOTE_VK_LOADER_FUNCTIONS(X, O)                                                                       \
    X(vkCreateInstance)                                                                                      \
    O(vkEnumerateInstanceVersion)

// O: may be null, as an extension's.
#define MOTE_VK_INSTANCE_FUNCTIONS(X, O)                                                                     \
    X(vkDestroyInstance)                                                                                     \
    X(vkEnumeratePhysicalDevices)                                                                            \
    X(vkGetPhysicalDeviceProperties)                                                                         \
    X(vkGetPhysicalDeviceProperties2)                                                                        \
    X(vkGetPhysicalDeviceFeatures2)                                                                          \
    X(vkGetPhysicalDeviceMemoryProperties2)                                                                  \
    X(vkGetPhysicalDeviceQueueFamilyProperties)                                                              \
    X(vkEnumerateDeviceExtensionProperties)                                                                  \
    X(vkCreateDevice)                                                                                        \
    X(vkGetDeviceProcAddr)                                                                                   \
    O(vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR)

// O: as above.
#define MOTE_VK_DEVICE_FUNCTIONS(X, O)                                                                       \
    X(vkDestroyDevice)                                                                                       \
    X(vkGetDeviceQueue)                                                                                      \
    X(vkQueueSubmit)                                                                                         \
    X(vkQueueWaitIdle)                                                                                       \
    X(vkAllocateMemory)                                                                                      \
    X(vkFreeMemory)                                                                                          \
    X(vkMapMemory)                                                                                           \
    X(vkFlushMappedMemoryRanges)                                                                             \
    X(vkInvalidateMappedMemoryRanges)                                                                        \
    X(vkCreateBuffer)                                                                                        \
    X(vkDestroyBuffer)                                                                                       \
    X(vkCreateBufferView)                                                                                    \
    X(vkDestroyBufferView)                                                                                   \
    X(vkGetBufferMemoryRequirements)                                                                         \
    X(vkBindBufferMemory)                                                                                    \
    X(vkCreateShaderModule)                                                                                  \
    X(vkDestroyShaderModule)                                                                                 \
    X(vkCreateDescriptorSetLayout)                                                                           \
    X(vkDestroyDescriptorSetLayout)                                                                          \
    X(vkCreatePipelineLayout)                                                                                \
    X(vkDestroyPipelineLayout)                                                                               \
    X(vkCreatePipelineCache)                                                                                 \
    X(vkDestroyPipelineCache)                                                                                \
    X(vkGetPipelineCacheData)                                                                                \
    X(vkCreateComputePipelines)                                                                              \
    X(vkDestroyPipeline)                                                                                     \
    X(vkCreateDescriptorPool)                                                                                \
    X(vkDestroyDescriptorPool)                                                                               \
    X(vkResetDescriptorPool)                                                                                 \
    X(vkAllocateDescriptorSets)                                                                              \
    X(vkUpdateDescriptorSets)                                                                                \
    X(vkCreateCommandPool)                                                                                   \
    X(vkDestroyCommandPool)                                                                                  \
    X(vkResetCommandPool)                                                                                    \
    X(vkAllocateCommandBuffers)                                                                              \
    X(vkBeginCommandBuffer)                                                                                  \
    X(vkEndCommandBuffer)                                                                                    \
    X(vkCmdBindPipeline)                                                                                     \
    X(vkCmdBindDescriptorSets)                                                                               \
    X(vkCmdPushConstants)                                                                                    \
    X(vkCmdDispatch)                                                                                         \
    X(vkCmdPipelineBarrier)                                                                                  \
    X(vkCmdCopyBuffer)                                                                                       \
    X(vkCmdFillBuffer)                                                                                       \
    X(vkCmdUpdateBuffer)                                                                                     \
    X(vkCmdResetQueryPool)                                                                                   \
    X(vkCmdWriteTimestamp)                                                                                   \
    X(vkCreateQueryPool)                                                                                     \
    X(vkDestroyQueryPool)                                                                                    \
    X(vkGetQueryPoolResults)                                                                                 \
    X(vkCreateFence)                                                                                         \
    X(vkDestroyFence)                                                                                        \
    X(vkResetFences)                                                                                         \
    X(vkWaitForFences)                                                                                       \
    X(vkGetFenceStatus)                                                                                      \
    O(vkGetBufferDeviceAddressKHR)

namespace mote::gpu {

#define MOTE_VK_MEMBER(name) PFN_##name name = nullptr;

struct LoaderTable {
    MOTE_VK_LOADER_FUNCTIONS(MOTE_VK_MEMBER, MOTE_VK_MEMBER)
};

struct InstanceTable {
    MOTE_VK_INSTANCE_FUNCTIONS(MOTE_VK_MEMBER, MOTE_VK_MEMBER)
};

struct DeviceTable {
    MOTE_VK_DEVICE_FUNCTIONS(MOTE_VK_MEMBER, MOTE_VK_MEMBER)
};

#undef MOTE_VK_MEMBER

// Each fills its table; NoVulkan with the name of the first required function that is missing.
Status loadTable(PFN_vkGetInstanceProcAddr getInstanceProcAddr, LoaderTable &table);
Status loadTable(PFN_vkGetInstanceProcAddr getInstanceProcAddr, VkInstance instance, InstanceTable &table);
Status loadTable(PFN_vkGetDeviceProcAddr getDeviceProcAddr, VkDevice device, DeviceTable &table);

// "VK_ERROR_OUT_OF_DEVICE_MEMORY"; "VkResult -1000" for one unknown here.
std::string resultName(VkResult result);

} // namespace mote::gpu
