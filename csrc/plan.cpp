#include "plan.h"

#include <algorithm>
#include <cstring>

#if defined(__linux__)
#include <unistd.h>
#endif

namespace kdgraph {
namespace {

// What a slab may take: with the codes of a block beside it, a little of it is evicted,
// which costs less than another pass over the edges.
int64_t slab_bytes() {
#if defined(_SC_LEVEL1_DCACHE_SIZE)
  const long size = sysconf(_SC_LEVEL1_DCACHE_SIZE);
  if (size >= 16384) return size;
#endif
  return 32768;
}

}  // namespace

Floats::Floats(int64_t count, bool zero) : memory_(new float[count + 16]) {
  const uintptr_t address = reinterpret_cast<uintptr_t>(memory_.get());
  data_ = memory_.get() + (round_up(address, 64) - address) / sizeof(float);
  if (zero) std::memset(data_, 0, count * sizeof(float));
}

Plan::Plan(const Codes& codes) : codes_(codes) {
  int64_t bit = 0;
  for (int j = 0; j < codes.positions; j++) {
    bit_.push_back(bit);
    bit += codes.code_bytes ? 8 * codes.code_bytes : codes.bits[j];
  }
  merge_positions();
  place_columns();
  cut_units();
}

int64_t Plan::channels() const {
  return codes_.width * (codes_.concat ? codes_.positions : 1);
}

int64_t Plan::fewest_choices(const Unit& unit) const {
  int64_t fewest = lookups_[unit.first].choices;
  for (int g = 1; g < unit.lookups; g++)
    fewest = std::min(fewest, lookups_[unit.first + g].choices);
  return fewest;
}

int64_t Plan::slab_end(int64_t unit) const {
  const bool last = unit + 1 == static_cast<int64_t>(units_.size());
  return last ? table_floats_ : units_[unit + 1].slab;
}

// Packed positions that share a byte are looked up at once, by the byte itself: two codes
// of 4 bits are one of 8, and the entry is both codewords.
void Plan::merge_positions() {
  const int positions = codes_.positions;
  bool bytes = codes_.code_bytes == 1;
  if (codes_.code_bytes == 0) {
    bytes = true;
    for (int j = 0; j < positions; j++) {
      const int64_t end = bit_[j] + codes_.bits[j] - 1;
      bytes = bytes && bit_[j] / 8 == end / 8;
    }
  }
  wide_ = !bytes;
  for (int j = 0; j < positions;) {
    Lookup lookup{};
    lookup.first_position = j;
    lookup.count = 1;
    lookup.rows = codes_.sizes[j];
    if (bytes && codes_.code_bytes == 0) {
      while (j + lookup.count < positions && bit_[j + lookup.count] / 8 == bit_[j] / 8)
        lookup.count++;
      lookup.rows = 256;
    }
    lookup.choices = 1;
    for (int part = 0; part < lookup.count; part++) lookup.choices *= codes_.sizes[j + part];
    lookup.width = codes_.width * (codes_.concat ? lookup.count : 1);
    j += lookup.count;
    lookups_.push_back(lookup);
  }
  copied_ = bytes || codes_.code_bytes == 2;
}

void Plan::place_columns() {
  for (Lookup& lookup : lookups_) {
    lookup.column = codes_.concat ? padded_width_ : 0;
    const int width = static_cast<int>(round_up(lookup.width, kLanes));
    padded_width_ = codes_.concat ? padded_width_ + width : width;
  }
}

void Plan::add_unit(int first, int lookups, int vectors, int64_t from) {
  Unit unit{};
  unit.lookups = lookups;
  unit.vectors = vectors;
  unit.first = first;
  unit.shared = !codes_.concat;
  unit.slab = table_floats_;
  int64_t begin = 0;
  for (int g = 0; g < lookups; g++) {
    const Lookup& lookup = lookups_[first + g];
    unit.column[g] = lookup.column + static_cast<int>(from);
    unit.begin[g] = begin;
    slices_.push_back({first + g, from, table_floats_ + begin, vectors});
    begin += lookup.rows * vectors * kLanes;
  }
  table_floats_ += round_up(begin, 16);
  units_.push_back(unit);
}

void Plan::cut_units() {
  const int64_t budget = slab_bytes() / static_cast<int64_t>(sizeof(float));
  const int count = lookups();
  for (int first = 0; first < count;) {
    const Lookup& lookup = lookups_[first];
    const int vectors_all = static_cast<int>(round_up(lookup.width, kLanes) / kLanes);
    // As wide a slice as fits, so that a code is read for many channels; where none fits,
    // the widest, which at least reads neighbouring lines.
    int vectors = std::min(vectors_all, kMaxVectors);
    if (lookup.rows * kLanes <= budget)
      while (vectors > 1 && lookup.rows * vectors * kLanes > budget) vectors--;
    int together = 1;
    if (vectors_all <= vectors || !codes_.concat) {
      const auto fits = [&](int lookups) {
        if (first + lookups > count) return false;
        if (codes_.concat && lookups * vectors > 8) return false;
        int64_t floats = 0;
        for (int g = 0; g < lookups; g++) {
          const Lookup& other = lookups_[first + g];
          if (other.width != lookup.width) return false;
          floats += other.rows * vectors * kLanes;
        }
        return floats <= budget;
      };
      together = fits(4) ? 4 : fits(2) ? 2 : 1;
    }
    for (int done = 0; done < vectors_all; done += vectors) {
      const int left = std::min(vectors, vectors_all - done);
      add_unit(first, together, left, static_cast<int64_t>(done) * kLanes);
    }
    first += together;
  }
}

// Every codeword and where it stands: visit(slice entry, codeword, floats).
template <typename Visit>
void Plan::visit(Visit&& visit) const {
  const int64_t width = codes_.width;
  for (const Slice& slice : slices_) {
    const Lookup& lookup = lookups_[slice.lookup];
    const int64_t floats = static_cast<int64_t>(slice.vectors) * kLanes;
    for (int64_t entry = 0; entry < lookup.rows; entry++) {
      const int64_t at = slice.begin + entry * floats;
      for (int part = 0; part < lookup.count; part++) {
        const int position = lookup.first_position + part;
        int64_t code = entry;
        if (codes_.code_bytes == 0 && !wide_) {  // the entry is a byte of codes
          const int shift = static_cast<int>(bit_[position] % 8);
          code = (entry >> shift) & ((1 << codes_.bits[position]) - 1);
        }
        if (code >= codes_.sizes[position]) continue;  // no such code: stays zero
        const int64_t row = codes_.first_row[position] + code;
        // The part's columns within the entry, and what of them lies in the slice.
        const int64_t start = codes_.concat ? part * width : 0;
        const int64_t from = std::max(start, slice.from);
        const int64_t to = std::min(start + width, slice.from + floats);
        if (from < to) visit(at + from - slice.from, row * width + from - start, to - from);
      }
    }
  }
}

void Plan::fill(float* table) const {
  visit([&](int64_t at, int64_t word, int64_t floats) {
    for (int64_t i = 0; i < floats; i++) table[at + i] += codes_.codebooks[word + i];
  });
}

void Plan::collect(const double* table, float* codebooks) const {
  std::vector<double> sums(codes_.rows * codes_.width);
  visit([&](int64_t at, int64_t word, int64_t floats) {
    for (int64_t i = 0; i < floats; i++) sums[word + i] += table[at + i];
  });
  std::copy(sums.begin(), sums.end(), codebooks);
}

int64_t Plan::code_at(const uint8_t* row, int position) const {
  if (codes_.code_bytes == 1) return row[position];
  if (codes_.code_bytes == 2) {
    uint16_t code;
    std::memcpy(&code, row + 2 * position, 2);
    return code;
  }
  // At most 16 bits, within three bytes, none of them beyond the row.
  const int64_t first = bit_[position] / 8;
  const int shift = static_cast<int>(bit_[position] % 8);
  const int bits = codes_.bits[position];
  uint32_t value = row[first];
  if (shift + bits > 8) value |= static_cast<uint32_t>(row[first + 1]) << 8;
  if (shift + bits > 16) value |= static_cast<uint32_t>(row[first + 2]) << 16;
  return (value >> shift) & ((1u << bits) - 1);
}

void Plan::extract(const void* row, void* codes) const {
  for (int j = 0; j < codes_.positions; j++)
    static_cast<uint16_t*>(codes)[j] =
        static_cast<uint16_t>(code_at(static_cast<const uint8_t*>(row), j));
}

void Plan::pad(const float* row, float factor, float* padded) const {
  for (const Lookup& lookup : lookups_) {
    const float* from = row + (codes_.concat ? lookup.first_position * codes_.width : 0);
    for (int64_t i = 0; i < lookup.width; i++) padded[lookup.column + i] = from[i] * factor;
    if (!codes_.concat) break;
  }
}

void Plan::unpad(const float* padded, float* row) const {
  for (const Lookup& lookup : lookups_) {
    float* to = row + (codes_.concat ? lookup.first_position * codes_.width : 0);
    std::memcpy(to, padded + lookup.column, lookup.width * sizeof(float));
    if (!codes_.concat) break;
  }
}

bool Plan::may_exceed() const {
  for (int j = 0; j < codes_.positions; j++) {
    const int bits = codes_.code_bytes ? 8 * codes_.code_bytes : codes_.bits[j];
    if (codes_.sizes[j] < (1 << bits)) return true;
  }
  return false;
}

std::vector<uint8_t> Plan::bad_bytes() const {
  std::vector<uint8_t> bad;
  if (wide_) return bad;
  std::vector<uint8_t> bytes(codes_.row_bytes);
  for (const Lookup& lookup : lookups_) {
    for (int byte = 0; byte < 256; byte++) {
      std::fill(bytes.begin(), bytes.end(), static_cast<uint8_t>(byte));
      bool exceeds = false;
      for (int part = 0; part < lookup.count; part++) {
        const int j = lookup.first_position + part;
        exceeds |= code_at(bytes.data(), j) >= codes_.sizes[j];
      }
      bad.push_back(exceeds);
    }
  }
  return bad;
}

bool Plan::is_bad(int64_t row, const std::vector<uint8_t>& bad, int64_t* position,
                  int64_t* code) const {
  const uint8_t* own = static_cast<const uint8_t*>(codes_.codes) + row * codes_.row_bytes;
  uint8_t any = wide_;
  for (size_t i = 0; i < bad.size() / 256; i++) any |= bad[256 * i + own[i]];
  for (int j = 0; any && j < codes_.positions; j++) {
    *position = j;
    *code = code_at(own, j);
    if (*code >= codes_.sizes[j]) return true;
  }
  return false;
}

}  // namespace kdgraph
