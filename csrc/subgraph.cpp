// The edges among some nodes: kdgraph/ops/subgraph.py says which and in what order, and
// kdgraph/ops/reference_subgraph.py finds the same in numpy.

#include <new>

#include "edges.h"
#include "tasks.h"

namespace kdgraph {

namespace {

constexpr int64_t kTaskNodes = 256;
constexpr int64_t kPending = 512;  // sources fetched before the first is looked up

// Places of the nodes by their id: open addressing, made once, at most half full.
class Members {
 public:
  Members(const int64_t* nodes, int64_t count, Problem& problem) {
    int bits = 4;
    while ((int64_t{1} << bits) < 2 * count) bits++;
    slots_.assign(size_t{1} << bits, {0, -1});
    mask_ = slots_.size() - 1;
    shift_ = 64 - bits;
    for (int64_t place = 0; place < count; place++) {
      const uint64_t i = find(nodes[place]);
      if (slots_[i].place >= 0) {
        problem.tell(kTwice, nodes[place]);
        return;
      }
      slots_[i] = {nodes[place], place};
    }
  }

  void fetch(int64_t node) const { __builtin_prefetch(&slots_[slot(node)]); }

  // The place of a node, or -1.
  int64_t place(int64_t node) const { return slots_[find(node)].place; }

 private:
  struct Slot {
    int64_t node;
    int64_t place;
  };

  // Ids often follow each other; multiples of the golden ratio spread such best.
  uint64_t slot(int64_t node) const {
    return static_cast<uint64_t>(node) * 0x9E3779B97F4A7C15u >> shift_;
  }

  uint64_t find(int64_t node) const {
    uint64_t i = slot(node);
    while (slots_[i].place >= 0 && slots_[i].node != node) i = (i + 1) & mask_;
    return i;
  }

  std::vector<Slot> slots_;
  uint64_t mask_ = 0;
  int shift_ = 0;
};

}  // namespace

struct Subgraph {
  struct Part {  // of kTaskNodes targets
    std::vector<int64_t> row, edge;
  };
  std::vector<Part> parts;
  std::vector<int64_t> degree;
};

namespace {

void induce(const Edges& graph, const int64_t* nodes, int64_t count, Subgraph& out,
            Problem& problem) {
  const Members members(nodes, count, problem);
  if (problem.status != kFine) return;
  out.degree.assign(count, 0);
  out.parts.resize((count + kTaskNodes - 1) / kTaskNodes);
  const int64_t tasks = static_cast<int64_t>(out.parts.size());
  run_tasks(tasks, graph.threads, problem, [&] {
    return [&](int64_t task) {
      struct {
        int64_t source, edge, target;
      } pending[kPending];
      Subgraph::Part& part = out.parts[task];
      int64_t waiting = 0;
      const auto look_up = [&] {
        for (int64_t i = 0; i < waiting; i++) {
          const int64_t place = members.place(pending[i].source);
          if (place < 0) continue;
          part.row.push_back(place);
          part.edge.push_back(pending[i].edge);
          out.degree[pending[i].target]++;
        }
        waiting = 0;
      };
      const int64_t last = std::min(count, (task + 1) * kTaskNodes);
      for (int64_t target = task * kTaskNodes; target < last; target++) {
        const int64_t begin = graph.begin(nodes[target]);
        const int64_t end = graph.begin(nodes[target] + 1);
        if (begin < 0 || end < begin || end > graph.edges) {
          problem.tell(kBadRowptr, graph.edges);
          return;
        }
        for (int64_t edge = begin; edge < end; edge++) {
          const int64_t source = graph.source(edge);
          if (source < 0 || source >= graph.targets) {
            problem.tell(kBadSource, source);
            return;
          }
          members.fetch(source);
          pending[waiting++] = {source, edge, target};
          if (waiting == kPending) look_up();
        }
      }
      look_up();
    };
  });
}

}  // namespace
}  // namespace kdgraph

using kdgraph::Subgraph;

// Find the edges, and keep them until kdgraph_subgraph_free; null where it failed.
KDGRAPH_EXPORT Subgraph* kdgraph_subgraph(const kdgraph::Edges* graph, const int64_t* nodes,
                                          int64_t count, int32_t* status, int64_t* detail) {
  Subgraph* out = new (std::nothrow) Subgraph;
  *status = kdgraph::guarded(detail, [&](kdgraph::Problem& problem) {
    if (!out) throw std::bad_alloc();
    kdgraph::induce(*graph, nodes, count, *out, problem);
  });
  if (*status == kdgraph::kFine) return out;
  delete out;
  return nullptr;
}

KDGRAPH_EXPORT int64_t kdgraph_subgraph_edges(const Subgraph* out) {
  int64_t edges = 0;
  for (const Subgraph::Part& part : out->parts)
    edges += static_cast<int64_t>(part.edge.size());
  return edges;
}

KDGRAPH_EXPORT void kdgraph_subgraph_take(const Subgraph* out, int64_t* row, int64_t* col,
                                          int64_t* edge) {
  for (const Subgraph::Part& part : out->parts) {
    row = std::copy(part.row.begin(), part.row.end(), row);
    edge = std::copy(part.edge.begin(), part.edge.end(), edge);
  }
  int64_t target = 0;
  for (const int64_t degree : out->degree) col = std::fill_n(col, degree, target++);
}

KDGRAPH_EXPORT void kdgraph_subgraph_free(Subgraph* out) { delete out; }
