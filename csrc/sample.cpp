// Neighbours at random, hop by hop: kdgraph/ops/sampling.py says what is drawn, and
// kdgraph/ops/reference_sampling.py does the same in numpy, number by number.

#include <cstring>
#include <new>

#include "edges.h"
#include "tasks.h"

namespace kdgraph {

namespace {

constexpr int64_t kTaskNodes = 256;
constexpr int64_t kFetchAhead = 16;
constexpr int64_t kFewDraws = 32;  // up to which those drawn are searched one by one

void fetch_begin(const Edges& graph, int64_t node) {
  if (graph.rowptr32)
    __builtin_prefetch(graph.rowptr32 + node);
  else
    __builtin_prefetch(graph.rowptr64 + node);
}

void fetch_source(const Edges& graph, int64_t edge) {
  if (graph.col32)
    __builtin_prefetch(graph.col32 + edge);
  else
    __builtin_prefetch(graph.col64 + edge);
}

uint64_t mix(uint64_t x) {
  x ^= x >> 30;
  x *= 0xBF58476D1CE4E5B9u;
  x ^= x >> 27;
  x *= 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

// The numbers of a node: which they are follows from the seed and its id alone, so that
// it draws the same whatever else is drawn.
class Numbers {
 public:
  Numbers(uint64_t seed, int64_t node)
      : key_(mix(seed + static_cast<uint64_t>(node + 1) * 0x9E3779B97F4A7C15u)) {}

  // The i-th, in [0, bound), for bounds below 2^32.
  int64_t below(int64_t i, int64_t bound) const {
    const uint64_t high = mix(key_ + static_cast<uint64_t>(i + 1)) >> 32;
    return static_cast<int64_t>((high * static_cast<uint64_t>(bound)) >> 32);
  }

 private:
  uint64_t key_;
};

// Places of nodes by their id: open addressing, no larger than what was drawn.
class Places {
 public:
  Places() { resize(1 << 12); }

  void fetch(int64_t node) const { __builtin_prefetch(&slots_[slot(node)]); }

  // The place of a node, which is `next` if it has none yet.
  int64_t find_or_add(int64_t node, int64_t next) {
    if (2 * (count_ + 1) > static_cast<int64_t>(slots_.size())) grow();
    uint64_t i = slot(node);
    while (slots_[i].place >= 0 && slots_[i].node != node) i = (i + 1) & mask_;
    if (slots_[i].place < 0) {
      slots_[i] = {node, next};
      count_++;
    }
    return slots_[i].place;
  }

 private:
  struct Slot {
    int64_t node;
    int64_t place;
  };

  uint64_t slot(int64_t node) const { return mix(static_cast<uint64_t>(node)) & mask_; }

  void resize(size_t size) {
    slots_.assign(size, {0, -1});
    mask_ = size - 1;
  }

  void grow() {
    std::vector<Slot> before = std::move(slots_);
    resize(2 * before.size());
    for (const Slot& one : before) {
      if (one.place < 0) continue;
      uint64_t i = slot(one.node);
      while (slots_[i].place >= 0) i = (i + 1) & mask_;
      slots_[i] = one;
    }
  }

  std::vector<Slot> slots_;
  uint64_t mask_ = 0;
  int64_t count_ = 0;
};

}  // namespace

struct Sample {
  std::vector<int64_t> node, row, col, edge;
  std::vector<int64_t> nodes_of_hop, edges_of_hop;
};

namespace {

int64_t count_of(int64_t degree, int64_t wanted, bool replace) {
  if (wanted < 0 || degree == 0) return degree;
  return replace ? wanted : std::min(degree, wanted);
}

// Draw `count` of `degree` edges from `first` on.
void draw(const Numbers& numbers, int64_t first, int64_t degree, int64_t count,
          bool replace, std::vector<uint64_t>& seen, int64_t* edge) {
  if (!replace && count == degree) {
    for (int64_t i = 0; i < count; i++) edge[i] = first + i;
    return;
  }
  if (replace) {
    for (int64_t i = 0; i < count; i++) edge[i] = first + numbers.below(i, degree);
    return;
  }
  // Floyd's: the i-th is drawn among the first degree - count + i + 1, and where it was
  // drawn before, it is the last of these.
  const bool few = count <= kFewDraws;
  if (!few) seen.assign(degree / 64 + 1, 0);
  for (int64_t i = 0; i < count; i++) {
    const int64_t last = degree - count + i;
    int64_t one = numbers.below(i, last + 1);
    bool known = false;
    if (few)
      for (int64_t j = 0; j < i; j++) known |= edge[j] == first + one;
    else
      known = seen[one / 64] >> (one % 64) & 1;
    if (known) one = last;
    if (!few) seen[one / 64] |= uint64_t{1} << (one % 64);
    edge[i] = first + one;
  }
}

void sample(const Edges& graph, const int64_t* seeds, int64_t count, const int64_t* fanouts,
            int64_t hops, bool replace, uint64_t seed, Sample& out, Problem& problem) {
  Places places;
  for (int64_t i = 0; i < count; i++) {
    if (seeds[i] < 0 || seeds[i] >= graph.targets) {
      problem.tell(kBadSource, seeds[i]);
      return;
    }
    out.node.push_back(seeds[i]);
    places.find_or_add(seeds[i], i);
  }
  out.nodes_of_hop.push_back(count);
  int64_t begin = 0;
  for (int64_t hop = 0; hop < hops; hop++) {
    const int64_t end = static_cast<int64_t>(out.node.size()), wide = end - begin;
    const int64_t done = static_cast<int64_t>(out.edge.size());
    const int64_t tasks = (wide + kTaskNodes - 1) / kTaskNodes;
    const bool again = replace && fanouts[hop] >= 0;
    // Where the edges of each begin.
    std::vector<int64_t> at(wide + 1), first(wide), degree(wide);
    run_tasks(tasks, graph.threads, problem, [&] {
      return [&](int64_t task) {
        const int64_t last = std::min(wide, (task + 1) * kTaskNodes);
        for (int64_t i = task * kTaskNodes; i < last; i++) {
          if (i + kFetchAhead < last) fetch_begin(graph, out.node[begin + i + kFetchAhead]);
          const int64_t node = out.node[begin + i];
          first[i] = graph.begin(node);
          degree[i] = graph.begin(node + 1) - first[i];
          if (first[i] < 0 || degree[i] < 0 || first[i] + degree[i] > graph.edges)
            problem.tell(kBadRowptr, graph.edges);
          at[i + 1] = count_of(degree[i], fanouts[hop], again);
        }
      };
    });
    if (problem.status != kFine) return;
    for (int64_t i = 0; i < wide; i++) at[i + 1] += at[i];
    const int64_t drawn = at[wide];
    out.edge.resize(done + drawn);
    out.row.resize(done + drawn);
    out.col.resize(done + drawn);
    int64_t* const edge = out.edge.data() + done;
    int64_t* const row = out.row.data() + done;
    int64_t* const col = out.col.data() + done;
    run_tasks(tasks, graph.threads, problem, [&] {
      return [&, seen = std::vector<uint64_t>()](int64_t task) mutable {
        const int64_t from = task * kTaskNodes, last = std::min(wide, from + kTaskNodes);
        for (int64_t i = from; i < last; i++) {
          const Numbers numbers(seed, out.node[begin + i]);
          draw(numbers, first[i], degree[i], at[i + 1] - at[i], again, seen, edge + at[i]);
          for (int64_t e = at[i]; e < at[i + 1]; e++) {
            fetch_source(graph, edge[e]);
            col[e] = begin + i;
          }
        }
        for (int64_t e = at[from]; e < at[last]; e++) {
          row[e] = graph.source(edge[e]);
          if (row[e] < 0 || row[e] >= graph.targets) problem.tell(kBadSource, row[e]);
        }
      };
    });
    if (problem.status != kFine) return;
    for (int64_t e = 0; e < drawn; e++) {
      if (e + kFetchAhead < drawn) places.fetch(row[e + kFetchAhead]);
      const int64_t next = static_cast<int64_t>(out.node.size());
      const int64_t place = places.find_or_add(row[e], next);
      if (place == next) out.node.push_back(row[e]);
      row[e] = place;
    }
    out.nodes_of_hop.push_back(static_cast<int64_t>(out.node.size()) - end);
    out.edges_of_hop.push_back(drawn);
    begin = end;
  }
}

}  // namespace
}  // namespace kdgraph

using kdgraph::Sample;

// Draw, and keep what was drawn until kdgraph_sample_free; null where it failed.
KDGRAPH_EXPORT Sample* kdgraph_sample(const kdgraph::Edges* graph, const int64_t* seeds,
                                      int64_t count, const int64_t* fanouts, int64_t hops,
                                      int32_t replace, uint64_t seed, int32_t* status,
                                      int64_t* detail) {
  Sample* out = new (std::nothrow) Sample;
  *status = kdgraph::guarded(detail, [&](kdgraph::Problem& problem) {
    if (!out) throw std::bad_alloc();
    kdgraph::sample(*graph, seeds, count, fanouts, hops, replace != 0, seed, *out, problem);
  });
  if (*status == kdgraph::kFine) return out;
  delete out;
  return nullptr;
}

// How many nodes were added before each hop and by it, and edges by each hop.
KDGRAPH_EXPORT void kdgraph_sample_sizes(const Sample* out, int64_t* nodes, int64_t* edges) {
  std::copy(out->nodes_of_hop.begin(), out->nodes_of_hop.end(), nodes);
  std::copy(out->edges_of_hop.begin(), out->edges_of_hop.end(), edges);
}

KDGRAPH_EXPORT void kdgraph_sample_take(const Sample* out, int64_t* node, int64_t* row,
                                        int64_t* col, int64_t* edge) {
  std::copy(out->node.begin(), out->node.end(), node);
  std::copy(out->row.begin(), out->row.end(), row);
  std::copy(out->col.begin(), out->col.end(), col);
  std::copy(out->edge.begin(), out->edge.end(), edge);
}

KDGRAPH_EXPORT void kdgraph_sample_free(Sample* out) { delete out; }
