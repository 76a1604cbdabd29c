// Faults of a kernel's own making, such as reading outside every array, end its launch alone.

#pragma once

#include <csetjmp>
#include <csignal>
#include <cstddef>

#include "scheduler.h"

namespace cuda_on_cpu {

static const void *fault_address = nullptr;
static sigjmp_buf way_out;

// Catches faults of the thread that made it, as long as it lives. AddressSanitizer has a handler of
// its own with more to say, and is left alone.
class FaultGuard {
 public:
#if defined(__SANITIZE_ADDRESS__)
  FaultGuard() {}
#else
  FaultGuard() {
    static char stack[64 << 10];  // the one in use may be what overflowed
    stack_t ours = {};
    ours.ss_sp = stack;
    ours.ss_size = sizeof stack;
    sigaltstack(&ours, &old_stack);
    struct sigaction action = {};
    action.sa_sigaction = handle;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    for (std::size_t i = 0; i < count; i++) sigaction(signals[i], &action, &old_actions[i]);
    catching = true;
  }

  ~FaultGuard() {
    catching = false;
    for (std::size_t i = 0; i < count; i++) sigaction(signals[i], &old_actions[i], nullptr);
    sigaltstack(&old_stack, nullptr);
  }
#endif
  FaultGuard(const FaultGuard &) = delete;

 private:
  static void handle(int signal, siginfo_t *info, void *) {
    if (!catching || current == nullptr) {  // not a kernel's: let it end the process
      std::signal(signal, SIG_DFL);
      return;
    }
    const bool division = signal == SIGFPE;
    failed = true;
    message = place() + (division ? ": division by zero" : ": access to memory that is not there");
    fault_address = division ? nullptr : info->si_addr;
    current = nullptr;
    siglongjmp(way_out, 1);
  }

  static constexpr int signals[] = {SIGSEGV, SIGBUS, SIGFPE};
  static constexpr std::size_t count = sizeof signals / sizeof signals[0];
  static inline thread_local bool catching = false;
  struct sigaction old_actions[count];
  stack_t old_stack;
};

}  // namespace cuda_on_cpu
