// The inner loops for any processor: what its compiler makes of vectors.
#define KDGRAPH_KERNELS portable_kernels
#define KDGRAPH_LANES 8
#include "kernels.inc"
