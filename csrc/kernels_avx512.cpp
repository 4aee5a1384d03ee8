// The inner loops for processors with AVX-512.
#if defined(__x86_64__) && defined(__GNUC__)
#pragma GCC target("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma")
#define KDGRAPH_KERNELS avx512_kernels
#define KDGRAPH_LANES 16
#include "kernels.inc"
#endif
