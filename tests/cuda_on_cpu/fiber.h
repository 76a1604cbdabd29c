// Fibers: functions that can stop in the middle, let others run, and go on later.
//
// Each has a stack of its own. To stop is to save the stack pointer and take up another one; what
// else the processor must remember is pushed onto the stack first. Nothing here runs in parallel.

#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include <sys/mman.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

#if !(defined(__x86_64__) && defined(__linux__))
#define CUDA_ON_CPU_UCONTEXT  // the portable way, which asks the system twice at every switch
#endif
#ifdef CUDA_ON_CPU_UCONTEXT
#include <ucontext.h>
#endif

namespace cuda_on_cpu {

// Memory for one stack, with an inaccessible page below: to overflow it is a fault, not a riddle.
class Stack {
 public:
  Stack() {
    const std::size_t page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    void *memory = mmap(nullptr, page + size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) std::abort();
    mprotect(memory, page, PROT_NONE);
    bottom = static_cast<char *>(memory) + page;
  }
  Stack(const Stack &) = delete;  // stacks live as long as the library

  static constexpr std::size_t size = 128 << 10;
  char *bottom;
};

#ifdef CUDA_ON_CPU_UCONTEXT

struct Fiber {
  Stack stack;
  ucontext_t context;

  void start(void (*function)()) {
    getcontext(&context);
    context.uc_stack.ss_sp = stack.bottom;
    context.uc_stack.ss_size = Stack::size;
    context.uc_link = nullptr;
    makecontext(&context, function, 0);
  }
};

static ucontext_t caller;

static void enter(Fiber &fiber) { swapcontext(&caller, &fiber.context); }
static void leave(Fiber &fiber) { swapcontext(&fiber.context, &caller); }

#else

// By the calling convention a function may change all registers but these six and the stack
// pointer. They are saved on the old stack, whose pointer goes to *save, and come from the new one.
extern "C" void cuda_on_cpu_switch(void **save, void *load);
asm(R"(
    .text
    .type cuda_on_cpu_switch, @function
cuda_on_cpu_switch:
    push %rbp
    push %rbx
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, (%rdi)
    mov %rsi, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbx
    pop %rbp
    ret
    .size cuda_on_cpu_switch, . - cuda_on_cpu_switch
)");

struct Fiber {
  Stack stack;
  void *pointer = nullptr;  // of the stack, while the fiber is stopped

  // The first switch finds six registers of no meaning and returns into `function`.
  void start(void (*function)()) {
#if defined(__SANITIZE_ADDRESS__)
    ASAN_UNPOISON_MEMORY_REGION(stack.bottom, Stack::size);  // what the last user left half done
#endif
    void **top = reinterpret_cast<void **>(stack.bottom + Stack::size);
    *--top = nullptr;  // where `function` would return to; it never does
    *--top = reinterpret_cast<void *>(function);
    pointer = top - 6;
  }
};

static void *caller;

static void enter(Fiber &fiber) { cuda_on_cpu_switch(&caller, fiber.pointer); }
static void leave(Fiber &fiber) { cuda_on_cpu_switch(&fiber.pointer, caller); }

#endif

}  // namespace cuda_on_cpu
