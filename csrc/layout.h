// What core.cpp and the kernels of each instruction set share. No standard library
// here: the kernels' files are compiled for processors that may not be this one, and an
// inline function of a header could be linked into code that runs everywhere.
#pragma once

#include <stdint.h>

namespace kdgraph {

constexpr int kLanes = 8;        // floats of the smallest vector; slices are multiples
constexpr int kMaxVectors = 4;   // vectors of a slice
constexpr int kMaxLookups = 4;   // lookups of a unit

// A unit is what one pass over a block of edges looks up: a slice of V vectors of the
// codewords of G neighbouring lookups, in a slab small enough for the first-level cache.
struct Unit {
  int lookups;               // G: 1, 2 or 4
  int vectors;               // V: 1 to 4
  int first;                 // index of its first lookup in a row of codes
  int shared;                // whether all lookups add to the same columns
  int column[kMaxLookups];   // where each lookup's slice lands in a row of sums
  int64_t begin[kMaxLookups];  // where its codewords begin in the slab, in floats
  int64_t slab;              // where the slab begins in the table, in floats
};

// A block of edges, target by target, with the codes of their sources copied out.
struct Block {
  const void* codes;     // [edges, stride], uint8 or uint16
  int stride;            // lookups in a row of codes
  const float* weight;   // [edges], or null for ones
  const int32_t* begin;  // [rows + 1], first edge of each target
  int rows;
  float* sums;           // [rows, width], read or added to
  int width;             // floats in a row of sums
  float* by_weight;      // [edges], added to; null but in the gradient by weights
};

using UnitKernel = void (*)(const Unit&, float* table, const Block&);

// Sum of rows of a float table along the edges of targets [begin, end).
struct Rows {
  const int64_t* rowptr64;
  const int32_t* rowptr32;
  const int64_t* col64;
  const int32_t* col32;
  const float* weight;
  const float* x;
  int64_t channels;
  float* out;
  int64_t num_edges;
};
using RowsKernel = void (*)(const Rows&, int64_t begin, int64_t end);

constexpr int kPanel = 32;  // columns of a panel of a product

// A product of matrices that lie in a core's own cache:
// c[m, n] (+)= sum over k of a[m * a_row + k * a_step] * b[k, n], with b in panels of
// kPanel columns and as many columns as fill them.
struct Product {
  const float* a;
  int64_t a_row, a_step;
  const float* b;
  int64_t b_row, b_panel;  // from row to row of a panel, and from panel to panel
  float* c;
  int64_t c_row;
  int64_t rows, depth, columns;
  bool add;
};
using ProductKernel = void (*)(const Product&);

constexpr int kRowLanes = 16;  // rows that are computed side by side

// Rows of queries against keys: a score for every choice of every position,
// bias[j, k] + the sum over t of query[b, j, t] * keys[j, k, t].
struct Queries {
  const float* query;  // [rows, positions, terms]
  const float* keys;   // [positions, choices, terms]
  const float* bias;   // [positions, choices], minus infinity for what is no choice
  int64_t rows;
  int positions, choices, terms;
};

// The gradient of a loss by the scores, through a softmax at a temperature, from that by
// the code vectors: one each, or their sum.
struct SoftChoice {
  float temperature;
  const float* codebooks;  // [positions, choices, width]
  int width;
  const float* grad;       // [rows, positions, width], or [rows, width] by a sum
  const float* scale;      // [rows, positions], weights in that sum, or null
  int additive;
  float* by_query;         // [rows, positions, terms]
};

// scratch: positions * terms * kRowLanes floats.
using NearestKernel = void (*)(const Queries&, int64_t begin, int64_t end, float* scratch,
                               int64_t* codes);
// Adds to by_keys, [positions, choices, terms + 1], the last of them by the bias.
// scratch: see soft_scratch.
using SoftKernel = void (*)(const Queries&, const SoftChoice&, int64_t begin, int64_t end,
                            float* scratch, double* by_keys);

constexpr int kSoftBlocks = 8;  // blocks of kRowLanes rows that share sums by the keys

inline int64_t soft_scratch(const Queries& q, int width, int additive) {
  const int64_t numbers = q.positions * static_cast<int64_t>(q.terms);
  const int64_t wide = additive ? width : width * static_cast<int64_t>(q.positions);
  const int64_t by_row = 2 * numbers + wide + q.positions;
  const int64_t by_choice = q.choices * static_cast<int64_t>(q.terms + 3);
  return (kSoftBlocks * by_row + by_choice) * kRowLanes;
}

// The kernels of one instruction set.
struct Kernels {
  // Indexed by whether codes are of 16 bits, by lookups (1, 2, 4), vectors - 1, shared
  // and weighted.
  UnitKernel forward[2][3][kMaxVectors][2][2];
  UnitKernel by_codewords[2][3][kMaxVectors][2][2];
  UnitKernel by_weights[2][3][kMaxVectors][2];
  RowsKernel rows;
  ProductKernel product;
  NearestKernel nearest;
  SoftKernel soft_gradient;
};

extern const Kernels* chosen_kernels;  // those of the instruction set in use

const Kernels* portable_kernels();
#if defined(__x86_64__) && defined(__GNUC__)
#define KDGRAPH_X86 1
const Kernels* avx2_kernels();
const Kernels* avx512_kernels();
#elif defined(__aarch64__) && defined(__GNUC__)
#define KDGRAPH_ARM64 1
const Kernels* neon_kernels();
#endif

}  // namespace kdgraph
