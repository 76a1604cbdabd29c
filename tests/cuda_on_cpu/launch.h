// The door from Python: kernels are launched as the driver launches them, with an array of pointers
// to the arguments. Each kernel says besides what its parameters are, to be checked beforehand.

#pragma once

#include <type_traits>

#include "cuda_on_cpu.h"

#define CUDA_ON_CPU_EXPORT extern "C" __attribute__((visibility("default")))

namespace cuda_on_cpu {

// Parameters in the notation of NumPy's dtypes, pointers with a star: "*f4 *f4 i4 f8".
template <class T>
std::string type_name() {
  using Plain = std::remove_cv_t<T>;
  if constexpr (std::is_pointer_v<Plain>) {
    return "*" + type_name<std::remove_pointer_t<Plain>>();
  } else {
    const char *kind = std::is_same_v<Plain, bool>       ? "b"
                       : std::is_floating_point_v<Plain> ? "f"
                       : std::is_unsigned_v<Plain>       ? "u"
                       : std::is_integral_v<Plain>       ? "i"
                                                         : "V";  // a struct
    return kind + std::to_string(sizeof(Plain));
  }
}

template <class... Parameters>
std::string signature(void (*)(Parameters...)) {
  std::string text;
  ((text += (text.empty() ? "" : " ") + type_name<Parameters>()), ...);
  return text;
}

// The kernel of the launch, whatever its type, and its arguments; what calls it knows the type.
static void (*kernel_address)();
static void **kernel_arguments;

template <class... Parameters, std::size_t... i>
void call(std::index_sequence<i...>) {
  const auto kernel = reinterpret_cast<void (*)(Parameters...)>(kernel_address);
  kernel(*static_cast<std::remove_reference_t<Parameters> *>(kernel_arguments[i])...);
}

template <class... Parameters>
void call() {
  call<Parameters...>(std::index_sequence_for<Parameters...>());
}

// True if all went well; otherwise `message` says what did not.
template <class... Parameters>
bool launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared_bytes,
            bool reversed, void **arguments) {
  gridDim = grid;
  blockDim = block;
  blockIdx = {0, 0, 0};
  failed = false;
  fault_address = nullptr;
  thread_count = block.x * block.y * block.z;
  if (thread_count == 0 || thread_count > 1024 || shared_bytes > SharedMemory::most) {
    fail("no GPU runs %u threads a block with %zu bytes of shared memory", thread_count,
         shared_bytes);
    return false;
  }
  while (threads.size() < thread_count) threads.push_back(new Thread);
  warps.resize((thread_count + warp_size - 1) / warp_size);
  shared_memory.resize(shared_bytes);
  kernel_address = reinterpret_cast<void (*)()>(kernel);
  kernel_arguments = arguments;
  call_kernel = call<Parameters...>;

  const FaultGuard guard;
  if (sigsetjmp(way_out, 1) == 0) run_grid(reversed);
  return !failed;
}

}  // namespace cuda_on_cpu

CUDA_ON_CPU_EXPORT const char *failure() { return cuda_on_cpu::message.c_str(); }
CUDA_ON_CPU_EXPORT const void *faulty_address() { return cuda_on_cpu::fault_address; }

// Exports launch_NAME and signature_NAME of a kernel, such as KERNEL(kernel0, adam<float>).
#define KERNEL(name, ...)                                                                        \
  CUDA_ON_CPU_EXPORT bool launch_##name(const unsigned *grid, const unsigned *block,             \
                                        std::size_t shared_bytes, bool reversed,                 \
                                        void **arguments) {                                      \
    return cuda_on_cpu::launch(&__VA_ARGS__, dim3(grid[0], grid[1], grid[2]),                    \
                               dim3(block[0], block[1], block[2]), shared_bytes, reversed,       \
                               arguments);                                                       \
  }                                                                                              \
  CUDA_ON_CPU_EXPORT const char *signature_##name() {                                            \
    static const std::string text = cuda_on_cpu::signature(&__VA_ARGS__);                        \
    return text.c_str();                                                                         \
  }
