// How codes of a layout are looked up: positions merged into lookups, codewords copied
// into slabs that fit the first-level cache, one after the other.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "layout.h"

namespace kdgraph {

inline int64_t round_up(int64_t count, int64_t to) { return (count + to - 1) / to * to; }

// Codes and codebooks as Python hands them over; see kdgraph/ops/native.py.
struct Codes {
  const void* codes;        // [nodes, row_bytes]
  int64_t nodes;
  int64_t row_bytes;
  int32_t positions;        // D
  int32_t code_bytes;       // 1 or 2 per position, or 0 for packed bits
  const int32_t* sizes;     // [D], the alphabets
  const int32_t* bits;      // [D], bits of a packed code
  const int64_t* first_row;  // [D], where the codebook of each position begins
  const float* codebooks;   // [rows, width]; not read by the gradient by codebooks
  int64_t rows;             // R
  int64_t width;            // S
  int32_t concat;           // codewords stand side by side; else they are summed
};

// Floats that begin on a cache line.
class Floats {
 public:
  explicit Floats(int64_t count, bool zero = true);
  float* data() const { return data_; }

 private:
  std::unique_ptr<float[]> memory_;
  float* data_;
};

class Plan {
 public:
  explicit Plan(const Codes& codes);

  const Codes& codes() const { return codes_; }
  int lookups() const { return static_cast<int>(lookups_.size()); }
  int code_bytes() const { return wide_ ? 2 : 1; }
  int width() const { return padded_width_; }          // floats of a row of sums
  int64_t channels() const;                            // C
  bool dense() const { return padded_width_ == channels(); }
  int64_t table_floats() const { return table_floats_; }
  const std::vector<Unit>& units() const { return units_; }
  int64_t slab_end(int64_t unit) const;                // where its slab ends in the table
  int64_t fewest_choices(const Unit& unit) const;      // that a lookup of it has

  // Copy codebooks into the slabs of a table, or add slabs up into codebooks.
  void fill(float* table) const;
  void collect(const double* table, float* codebooks) const;

  // Bytes of a row of codes that is looked up as it is; 0 where it has to be extracted.
  int copied_bytes() const { return copied_ ? lookups() * code_bytes() : 0; }
  void extract(const void* row, void* codes) const;

  // Copy a row of C floats into one of width() floats times a factor, or back.
  void pad(const float* row, float factor, float* padded) const;
  void unpad(const float* padded, float* row) const;

  // Whether a code can be at or above its alphabet, and whether one of a row is, given
  // which bytes cannot be looked up, [lookups, 256]; empty where codes span bytes.
  bool may_exceed() const;
  std::vector<uint8_t> bad_bytes() const;
  bool is_bad(int64_t row, const std::vector<uint8_t>& bad, int64_t* position,
              int64_t* code) const;

 private:
  struct Lookup {
    int first_position;   // positions [first, first + count) are read at once
    int count;
    int64_t rows;         // entries of its table
    int64_t choices;      // entries that codes can choose
    int64_t width;        // floats of an entry
    int column;           // where the entry lands in a padded row of sums
  };
  struct Slice {          // of the entries of a lookup, in a slab
    int lookup;
    int64_t from;         // first float of the entry
    int64_t begin;        // first float in the table
    int vectors;
  };

  void merge_positions();
  void place_columns();
  void cut_units();
  void add_unit(int first, int lookups, int vectors, int64_t from);
  int64_t code_at(const uint8_t* row, int position) const;
  template <typename Visit>
  void visit(Visit&& visit) const;

  Codes codes_;
  std::vector<int64_t> bit_;      // [D], where each packed code begins
  std::vector<Lookup> lookups_;
  std::vector<Unit> units_;
  std::vector<Slice> slices_;
  bool wide_ = false;             // lookups are of 16 bits
  bool copied_ = false;           // rows of codes are what is looked up
  int padded_width_ = 0;
  int64_t table_floats_ = 0;
};

}  // namespace kdgraph
