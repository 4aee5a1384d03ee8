// The inner loops for processors with AVX2 and FMA.
#if defined(__x86_64__) && defined(__GNUC__)
#pragma GCC target("avx2,fma")
#define KDGRAPH_KERNELS avx2_kernels
#define KDGRAPH_LANES 8
#include "kernels.inc"
#endif
