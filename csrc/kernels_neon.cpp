// The inner loops for 64-bit ARM, all of which has vectors of 128 bits.
#if defined(__aarch64__) && defined(__GNUC__)
#define KDGRAPH_KERNELS neon_kernels
#define KDGRAPH_LANES 4
#include "kernels.inc"
#endif
