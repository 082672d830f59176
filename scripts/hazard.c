// Fills of one buffer without a barrier between them, two in one command buffer and one in another submission: a validation
// layer with synchronization validation must report both. scripts/matrix runs this first, so that a silent layer is one that
// had nothing to say.
#include <stdio.h>
#include <stdlib.h>
#include <vulkan/vulkan.h>

static void must(VkResult result, const char *call) {
    if (result != VK_SUCCESS) {
        fprintf(stderr, "%s: %d\n", call, result);
        exit(1);
    }
}
#define MUST(call) must(call, #call)

int main(void) {
    VkApplicationInfo app = {VK_STRUCTURE_TYPE_APPLICATION_INFO, .apiVersion = VK_API_VERSION_1_1};
    VkInstanceCreateInfo instance_info = {VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO, .pApplicationInfo = &app};
    VkInstance instance;
    MUST(vkCreateInstance(&instance_info, NULL, &instance));
    VkPhysicalDevice adapter;
    uint32_t one = 1;
    VkResult found = vkEnumeratePhysicalDevices(instance, &one, &adapter);
    must(found == VK_INCOMPLETE ? VK_SUCCESS : found, "vkEnumeratePhysicalDevices");
    float priority = 1;
    VkDeviceQueueCreateInfo queue = {VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO, .queueCount = 1, .pQueuePriorities = &priority};
    VkDeviceCreateInfo device_info = {VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO, .queueCreateInfoCount = 1, .pQueueCreateInfos = &queue};
    VkDevice device;
    MUST(vkCreateDevice(adapter, &device_info, NULL, &device));

    VkBufferCreateInfo buffer_info = {VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO, .size = 256, .usage = VK_BUFFER_USAGE_TRANSFER_DST_BIT};
    VkBuffer buffer;
    MUST(vkCreateBuffer(device, &buffer_info, NULL, &buffer));
    VkMemoryRequirements needs;
    vkGetBufferMemoryRequirements(device, buffer, &needs);
    uint32_t type = 0;
    while (!(needs.memoryTypeBits >> type & 1)) type++;
    VkMemoryAllocateInfo memory_info = {VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO, .allocationSize = needs.size, .memoryTypeIndex = type};
    VkDeviceMemory memory;
    MUST(vkAllocateMemory(device, &memory_info, NULL, &memory));
    MUST(vkBindBufferMemory(device, buffer, memory, 0));

    VkCommandPoolCreateInfo pool_info = {VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO};
    VkCommandPool pool;
    MUST(vkCreateCommandPool(device, &pool_info, NULL, &pool));
    VkCommandBufferAllocateInfo commands_info = {VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO, .commandPool = pool, .commandBufferCount = 2};
    VkCommandBuffer commands[2];
    MUST(vkAllocateCommandBuffers(device, &commands_info, commands));
    VkCommandBufferBeginInfo begin = {VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
    VkQueue first_queue;
    vkGetDeviceQueue(device, 0, 0, &first_queue);
    for (int k = 0; k < 2; k++) {
        MUST(vkBeginCommandBuffer(commands[k], &begin));
        for (int fills = 0; fills < 2 - k; fills++) vkCmdFillBuffer(commands[k], buffer, 0, 256, fills);
        MUST(vkEndCommandBuffer(commands[k]));
        VkSubmitInfo submit = {VK_STRUCTURE_TYPE_SUBMIT_INFO, .commandBufferCount = 1, .pCommandBuffers = &commands[k]};
        MUST(vkQueueSubmit(first_queue, 1, &submit, VK_NULL_HANDLE));
    }
    MUST(vkDeviceWaitIdle(device));

    vkDestroyCommandPool(device, pool, NULL);
    vkDestroyBuffer(device, buffer, NULL);
    vkFreeMemory(device, memory, NULL);
    vkDestroyDevice(device, NULL);
    vkDestroyInstance(instance, NULL);
}
