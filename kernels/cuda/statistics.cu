// What a training run wants to know of its steps, summed on the GPU and read now and then; see
// kernels/statistics.py.

#include "rows.cuh"

// Pixels of a batch: crack, detected at probability 0.5, and both.
struct Counts {
  double crack, detected, correct;
};

__device__ Counts merge(Counts a, Counts b) {
  return {a.crack + b.crack, a.detected + b.detected, a.correct + b.correct};
}

// Over all batches since the start of the sums.
struct Totals {
  double loss_sum, finite_losses, crack, detected, correct, batches_without_crack, nan_losses;
};

// The counts of each block's pixels: partial (gridDim.y,).
template <class T>
__global__ void __launch_bounds__(256)
    block_counts(const T *logits, const bool *mask, int n, Counts *partial) {
  Counts own = {};
  for (int i = first_row(); i < n; i += row_step()) {
    const bool detected = logits[i] >= 0;
    own.crack += mask[i];
    own.detected += detected;
    own.correct += detected && mask[i];
  }
  const Counts all = merge_rows(own);
  if (threadIdx.y == 0) partial[blockIdx.y] = all;
}

// The counts of this process's pixels, for others that share the batch.
__global__ void __launch_bounds__(256)
    merge_counts(const Counts *partial, int blocks, Counts *merged) {
  const Counts all = merge_blocks(partial, blocks, 1);
  if (threadIdx.y == 0) *merged = all;
}

// Adds a batch to the totals.
template <class T>
__global__ void __launch_bounds__(256)
    add_batch(const Counts *partial, int blocks, const T *loss, Totals *totals) {
  const Counts all = merge_blocks(partial, blocks, 1);
  if (threadIdx.y != 0) return;
  const double value = *loss;
  if (value - value == 0) {  // finite: -log F1 of a batch without crack is not
    totals->loss_sum += value;
    totals->finite_losses += 1;
  }
  totals->nan_losses += value != value;
  totals->crack += all.crack;
  totals->detected += all.detected;
  totals->correct += all.correct;
  totals->batches_without_crack += all.crack == 0;
}
