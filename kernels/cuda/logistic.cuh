// The logistic function and its integral, without overflow. T is float or double.

#ifndef MINISPIRAL_LOGISTIC_CUH
#define MINISPIRAL_LOGISTIC_CUH

// 1 / (1 + exp(-x)).
template <class T>
__device__ T sigmoid(T x) {
  const T e = exp(-fabs(x));
  return (x >= 0 ? T(1) : e) / (1 + e);
}

// log(1 + exp(x)).
template <class T>
__device__ T softplus(T x) {
  return max(x, T(0)) + log1p(exp(-fabs(x)));
}

#endif  // MINISPIRAL_LOGISTIC_CUH
