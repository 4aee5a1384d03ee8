// A driver of the compiled core that needs neither Python nor torch: what each exported
// operation gives, for every instruction set that the processor has, against plain loops
// in double. csrc/tests/run.sh builds and runs it, also for other processors.

#include <dlfcn.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "../edges.h"
#include "../layout.h"
#include "../plan.h"

using kdgraph::Codes;
using kdgraph::Edges;
using Numbers = std::vector<float>;
using Sums = std::vector<double>;

namespace {

std::mt19937 random_bits(7);
int failures = 0, checks = 0;

float normal() { return std::normal_distribution<float>()(random_bits); }
int64_t below(int64_t bound) {
  return std::uniform_int_distribution<int64_t>(0, bound - 1)(random_bits);
}
Numbers normals(int64_t count) {
  Numbers numbers(count);
  for (float& number : numbers) number = normal();
  return numbers;
}

void expect(bool right, const std::string& what) {
  checks++;
  if (right) return;
  failures++;
  std::printf("wrong: %s\n", what.c_str());
}

// Within 1e-5 of what the terms add up to.
void expect_close(const Numbers& found, const Sums& want, const Sums& terms,
                  const std::string& what) {
  double worst = 0;
  for (size_t i = 0; i < want.size(); i++) {
    const double apart = std::abs(found[i] - want[i]) / (terms[i] + 1e-30);
    worst = std::isfinite(found[i]) ? std::max(worst, apart) : 1e9;
  }
  expect(found.size() == want.size() && worst < 1e-5,
         what + ", off by " + std::to_string(worst));
}

template <typename Function>
Function* exported(void* library, const char* name) {
  Function* function = reinterpret_cast<Function*>(dlsym(library, name));
  if (function) return function;
  std::printf("the core does not export %s\n", name);
  std::exit(2);
}

struct Shape {
  std::vector<int32_t> sizes;
  int64_t width;
  int code_bytes;  // 0 for packed bits
  bool concat, weighted, mean, wide_index;
};

// One problem: a graph with empty targets and one of thousands of edges, and codes.
struct Problem {
  static constexpr int64_t nodes = 50, targets = 70;
  Shape shape;
  std::vector<int64_t> rowptr{0}, col;
  std::vector<int32_t> rowptr32, col32;
  Numbers weight, books;
  std::vector<int32_t> code, bits;  // code: [nodes, positions]
  std::vector<int64_t> first_row;
  std::vector<uint8_t> rows;
  Codes codes{};
  Edges edges{};

  int positions() const { return static_cast<int>(shape.sizes.size()); }
  int64_t channels() const { return shape.width * (shape.concat ? positions() : 1); }
  double share(int64_t target) const {
    return shape.mean ? 1.0 / std::max<int64_t>(1, rowptr[target + 1] - rowptr[target]) : 1.0;
  }

  explicit Problem(const Shape& given) : shape(given) {
    for (int64_t v = 0; v < targets; v++) {
      const int64_t degree = v == 5 ? 3000 : v % 7 ? below(12) : 0;
      for (int64_t i = 0; i < degree; i++) col.push_back(below(nodes));
      rowptr.push_back(static_cast<int64_t>(col.size()));
    }
    rowptr32.assign(rowptr.begin(), rowptr.end());
    col32.assign(col.begin(), col.end());
    weight = normals(static_cast<int64_t>(col.size()));
    int64_t row = 0, all_bits = 0;
    for (int32_t size : shape.sizes) {
      first_row.push_back(row);
      row += size;
      int need = 1;
      while ((1 << need) < size) need++;
      bits.push_back(need);
      all_bits += need;
    }
    books = normals(row * shape.width);
    const int64_t row_bytes =
        shape.code_bytes ? positions() * shape.code_bytes : (all_bits + 7) / 8;
    rows.assign(nodes * row_bytes, 0);
    for (int64_t v = 0; v < nodes; v++) {
      int64_t bit = 0;
      for (int j = 0; j < positions(); j++) {
        const int32_t one = static_cast<int32_t>(below(shape.sizes[j]));
        code.push_back(one);
        const int width = shape.code_bytes ? 8 * shape.code_bytes : bits[j];
        for (int b = 0; b < width; b++, bit++)
          rows[v * row_bytes + bit / 8] |= ((one >> b) & 1) << (bit % 8);
      }
    }
    codes = {rows.data(),      nodes,            row_bytes,    positions(),
             shape.code_bytes, shape.sizes.data(), bits.data(), first_row.data(),
             books.data(),     row,              shape.width,  shape.concat};
    const bool wide = shape.wide_index;
    edges = {wide ? rowptr.data() : nullptr, wide ? nullptr : rowptr32.data(),
             wide ? col.data() : nullptr,    wide ? nullptr : col32.data(),
             shape.weighted ? weight.data() : nullptr,
             targets, static_cast<int64_t>(col.size()), shape.mean, 1, 2};
  }

  // visit(target, edge, factor, channel, place in the codebooks) of every term.
  template <typename Visit>
  void terms(Visit&& visit) const {
    for (int64_t v = 0; v < targets; v++)
      for (int64_t e = rowptr[v]; e < rowptr[v + 1]; e++)
        for (int j = 0; j < positions(); j++)
          for (int64_t s = 0; s < shape.width; s++) {
            const int64_t row = first_row[j] + code[col[e] * positions() + j];
            const double factor = share(v) * (shape.weighted ? weight[e] : 1.0);
            visit(v, e, factor, (shape.concat ? j * shape.width : 0) + s,
                  row * shape.width + s);
          }
  }
};

// Sums of terms, and of their absolute values.
struct Pair {
  explicit Pair(size_t count) : want(count), terms(count) {}
  void add(int64_t at, double term, double size) {
    want[at] += term;
    terms[at] += size;
  }
  Sums want, terms;
};

void check_operations(void* core, const Shape& shape, const std::string& name) {
  using Call = int(const Codes*, const Edges*, float*, int64_t*);
  using CallFrom = int(const Codes*, const Edges*, const float*, float*, int64_t*);
  using Linear = int(const Codes*, const Edges*, const float*, int64_t, float*, int64_t*);
  using GradLinear = int(const Codes*, const Edges*, const float*, int64_t, const float*,
                         float*, float*, int64_t*);
  Problem p(shape);
  int64_t detail[3];
  const int64_t channels = p.channels(), targets = Problem::targets;
  Pair sums(targets * channels);
  p.terms([&](int64_t v, int64_t, double factor, int64_t c, int64_t at) {
    const double term = factor * p.books[at];
    sums.add(v * channels + c, term, std::abs(term));
  });
  Numbers found(targets * channels);
  int status = exported<Call>(core, "kdgraph_spmm")(&p.codes, &p.edges, found.data(), detail);
  expect(status == 0, name + " spmm status");
  expect_close(found, sums.want, sums.terms, name + " spmm");

  const Numbers grad = normals(targets * channels);
  Pair by_books(p.books.size()), by_weight(p.col.size());
  p.terms([&](int64_t v, int64_t e, double factor, int64_t c, int64_t at) {
    const double g = grad[v * channels + c];
    by_books.add(at, factor * g, std::abs(factor * g));
    const double term = g * p.books[at] * p.share(v);
    by_weight.add(e, term, std::abs(term));
  });
  found.assign(p.books.size(), NAN);
  exported<CallFrom>(core, "kdgraph_grad_codebooks")(&p.codes, &p.edges, grad.data(),
                                                     found.data(), detail);
  expect_close(found, by_books.want, by_books.terms, name + " grad_codebooks");
  found.assign(p.col.size(), NAN);
  exported<CallFrom>(core, "kdgraph_grad_weight")(&p.codes, &p.edges, grad.data(),
                                                  found.data(), detail);
  expect_close(found, by_weight.want, by_weight.terms, name + " grad_weight");

  // Mapped sums are no means.
  for (const int64_t height : {3, 40}) {
    if (shape.mean) break;
    const Numbers matrix = normals(height * channels);
    const Numbers upstream = normals(targets * height);
    Pair mapped(targets * height), by_matrix(height * channels), by_sums(targets * channels);
    for (int64_t v = 0; v < targets; v++)
      for (int64_t h = 0; h < height; h++)
        for (int64_t c = 0; c < channels; c++) {
          const double m = matrix[h * channels + c], u = upstream[v * height + h];
          const int64_t at = v * channels + c;
          mapped.add(v * height + h, m * sums.want[at], std::abs(m) * sums.terms[at]);
          by_matrix.add(h * channels + c, u * sums.want[at], std::abs(u) * sums.terms[at]);
          by_sums.add(at, u * m, std::abs(u * m));
        }
    found.assign(targets * height, NAN);
    exported<Linear>(core, "kdgraph_linear")(&p.codes, &p.edges, matrix.data(), height,
                                             found.data(), detail);
    expect_close(found, mapped.want, mapped.terms, name + " linear");
    Pair through(p.books.size());
    p.terms([&](int64_t v, int64_t, double factor, int64_t c, int64_t at) {
      through.add(at, factor * by_sums.want[v * channels + c],
                  std::abs(factor) * by_sums.terms[v * channels + c]);
    });
    Numbers by_codebooks(p.books.size(), NAN), by_map(height * channels, NAN);
    exported<GradLinear>(core, "kdgraph_grad_linear")(
        &p.codes, &p.edges, matrix.data(), height, upstream.data(), by_codebooks.data(),
        by_map.data(), detail);
    expect_close(by_codebooks, through.want, through.terms, name + " grad_linear, books");
    expect_close(by_map, by_matrix.want, by_matrix.terms, name + " grad_linear, matrix");
  }

  found.assign(targets * channels, 0.0f);
  std::vector<int64_t> wrong = p.col;
  wrong[3000] = Problem::nodes;
  Edges bad = p.edges;
  bad.col32 = nullptr;
  bad.col64 = wrong.data();
  status = exported<Call>(core, "kdgraph_spmm")(&p.codes, &bad, found.data(), detail);
  expect(status == 2 && detail[0] == Problem::nodes, name + " a source out of range");
}

void check_rows(void* core, const std::string& name) {
  using NeighborSum = int(const Edges*, const float*, int64_t, int64_t, float*, int64_t*);
  const Problem p({{2}, 1, 1, true, true, false, true});
  for (const int64_t channels : {1, 8, 24, 100, 300}) {
    const Numbers x = normals(Problem::nodes * channels);
    Pair sums(Problem::targets * channels);
    for (int64_t v = 0; v < Problem::targets; v++)
      for (int64_t e = p.rowptr[v]; e < p.rowptr[v + 1]; e++)
        for (int64_t c = 0; c < channels; c++) {
          const double term = double(p.weight[e]) * x[p.col[e] * channels + c];
          sums.add(v * channels + c, term, std::abs(term));
        }
    Numbers found(Problem::targets * channels, NAN);
    int64_t detail[3];
    exported<NeighborSum>(core, "kdgraph_neighbor_sum")(&p.edges, x.data(), Problem::nodes,
                                                        channels, found.data(), detail);
    expect_close(found, sums.want, sums.terms, name + " neighbor_sum");
  }
}

void check_nearest(void* core, const std::string& name) {
  using Nearest = int(const kdgraph::Queries*, int32_t, int64_t*, int64_t*);
  const int64_t rows = 101, positions = 3, choices = 13, terms = 5;
  const Numbers query = normals(rows * positions * terms);
  const Numbers keys = normals(positions * choices * terms), bias = normals(positions * choices);
  const kdgraph::Queries queries{query.data(), keys.data(), bias.data(), rows, 3, 13, 5};
  std::vector<int64_t> codes(rows * positions, -1);
  int64_t detail[3];
  exported<Nearest>(core, "kdgraph_nearest")(&queries, 2, codes.data(), detail);
  bool right = true;
  for (int64_t i = 0; i < rows * positions; i++) {
    const int64_t j = i % positions;
    const auto score = [&](int64_t k) {
      double sum = bias[j * choices + k];
      for (int64_t t = 0; t < terms; t++)
        sum += double(query[i * terms + t]) * keys[(j * choices + k) * terms + t];
      return sum;
    };
    right &= codes[i] >= 0 && codes[i] < choices;
    for (int64_t k = 0; right && k < choices; k++) right = score(k) <= score(codes[i]) + 1e-5;
  }
  expect(right, name + " nearest");
}

void check_graph(void* core) {
  struct Sample;
  using Draw = Sample*(const Edges*, const int64_t*, int64_t, const int64_t*, int64_t,
                       int32_t, uint64_t, int32_t*, int64_t*);
  using Sizes = void(const Sample*, int64_t*, int64_t*);
  using Take = void(const Sample*, int64_t*, int64_t*, int64_t*, int64_t*);
  Problem p({{2}, 1, 1, true, false, false, false});
  p.edges.targets = Problem::nodes;  // a graph on the sources alone
  p.edges.edges = p.rowptr[Problem::nodes];
  const std::vector<int64_t> seeds{1, 5, 30}, fanouts{4, 3};
  int32_t status;
  int64_t detail[3], nodes[3], edges[2];
  Sample* sample = exported<Draw>(core, "kdgraph_sample")(&p.edges, seeds.data(), 3,
                                                          fanouts.data(), 2, 0, 9, &status, detail);
  exported<Sizes>(core, "kdgraph_sample_sizes")(sample, nodes, edges);
  const int64_t all = edges[0] + edges[1];
  std::vector<int64_t> node(nodes[0] + nodes[1] + nodes[2]), row(all), col(all), edge(all);
  exported<Take>(core, "kdgraph_sample_take")(sample, node.data(), row.data(), col.data(),
                                              edge.data());
  exported<void(Sample*)>(core, "kdgraph_sample_free")(sample);
  bool right = std::set<int64_t>(node.begin(), node.end()).size() == node.size();
  for (int64_t e = 0; e < all; e++) {
    right &= p.col[edge[e]] == node[row[e]];
    right &= p.rowptr[node[col[e]]] <= edge[e] && edge[e] < p.rowptr[node[col[e]] + 1];
  }
  int64_t wanted = 0;
  for (const int64_t seed : seeds)
    wanted += std::min<int64_t>(4, p.rowptr[seed + 1] - p.rowptr[seed]);
  expect(right && edges[0] == wanted, "sample");
}

}  // namespace

int main(int count, char** arguments) {
  void* core = count == 2 ? dlopen(arguments[1], RTLD_NOW) : nullptr;
  if (!core) {
    std::printf("expected the file of a core, got %s\n", count == 2 ? dlerror() : "none");
    return 2;
  }
  const auto choose = exported<int(const char*)>(core, "kdgraph_choose");
  const std::vector<Shape> shapes = {
      {std::vector<int32_t>(16, 256), 8, 1, true, true, false, false},
      {std::vector<int32_t>(16, 16), 4, 0, true, true, true, true},
      {std::vector<int32_t>(9, 3), 2, 0, true, false, false, false},
      {{4096, 1000, 256}, 24, 0, false, true, false, false},
      {std::vector<int32_t>(4, 200), 130, 2, false, false, true, true},
      {{5, 2, 31, 300, 9}, 3, 0, true, true, false, true},
      {std::vector<int32_t>(6, 40), 40, 1, false, true, true, false},
      {{1}, 1, 1, false, false, false, false},
  };
  for (const char* name : {"avx512", "avx2", "neon", "portable"}) {
    if (!choose(name)) continue;
    for (size_t i = 0; i < shapes.size(); i++)
      check_operations(core, shapes[i], std::string(name) + " shape " + std::to_string(i));
    check_rows(core, name);
    check_nearest(core, name);
    std::printf("%s: %d checks, %d wrong\n", name, checks, failures);
  }
  check_graph(core);
  return failures ? 1 : 0;
}
