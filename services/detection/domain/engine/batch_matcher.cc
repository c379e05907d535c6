#include "services/detection/domain/engine/batch_matcher.h"

#include <algorithm>
#include <optional>

#include "common/status/status.h"
#include "services/detection/domain/engine/case_fold.h"
#include "services/detection/domain/engine/columns.h"

namespace yagura::detection {
namespace {

using event::BatchReader;

constexpr int32_t kUnknown = -2;
constexpr int32_t kNoRow = -1;

void SetBit(uint64_t* bits, size_t row) { bits[row / 64] |= 1ULL << (row % 64); }

// Marks the rows whose value passes; false where there is none.
template <typename Test>
bool MarkRows(const TextColumn& column, const Test& test, std::vector<uint8_t>& passes,
              uint64_t* bits) {
  passes.assign(column.distinct() + 1, 0);
  bool any = false;
  for (size_t i = 0; i < column.distinct(); ++i) {
    if (test(column.value(i))) {
      passes[i + 1] = 1;
      any = true;
    }
  }
  if (!any) return false;
  const auto& rows = column.rows();
  for (size_t row = 0; row < rows.size(); ++row) {
    if (passes[rows[row]] != 0) SetBit(bits, row);
  }
  return true;
}

bool Relates(const MatchValue& value, const MatchValue& reference, Matcher::Placement placement,
             bool cased) {
  const std::string_view text = cased ? value.text : value.folded;
  const std::string_view other = cased ? reference.text : reference.folded;
  switch (placement) {
    case Matcher::Placement::kWhole:
      return text == other;
    case Matcher::Placement::kStart:
      return text.starts_with(other);
    case Matcher::Placement::kEnd:
      return text.ends_with(other);
    case Matcher::Placement::kAnywhere:
      return text.find(other) != std::string_view::npos;
  }
  return false;
}

}  // namespace

// What is known about the current batch.
struct BatchMatcher::Impl {
  explicit Impl(const RuleSet& rules)
      : set(rules), atom_slot(rules.atoms_.size()), fields(rules.fields_.size()) {}

  // The values of one Sigma field.
  struct FieldColumns {
    std::vector<TextColumn> originals;
    std::optional<TextColumn> core;  // counts where no original has a value
    bool HasOriginal(size_t row) const {
      return std::any_of(originals.begin(), originals.end(),
                         [row](const TextColumn& column) { return column.has(row); });
    }
  };

  void Start(BatchReader& reader) {
    batch = &reader;
    words = (reader.size() + 63) / 64;
    std::fill(atom_slot.begin(), atom_slot.end(), kUnknown);
    for (auto& field : fields) field.reset();
    keyword_columns.reset();
    raw_folded.reset();
    pool.clear();
    top = 0;
    error = absl::OkStatus();
  }

  const FieldColumns& Field(uint32_t number) {
    auto& loaded = fields[number];
    if (loaded) return *loaded;
    loaded.emplace();
    const RuleSet::Field& field = set.fields_[number];
    if (!field.original.empty()) {
      auto columns = batch->ReadFieldAll(field.original);
      if (!columns.ok()) {
        error = columns.status();
        return *loaded;
      }
      for (const auto* column : *columns) {
        if (!column->empty()) loaded->originals.emplace_back(*column, std::nullopt);
      }
    }
    if (field.core) {
      const auto column = batch->Read(*field.core);
      if (!column.ok()) {
        error = column.status();
        return *loaded;
      }
      if (!(*column)->empty()) loaded->core.emplace(**column, *field.core);
    }
    return *loaded;
  }

  // Everything that a keyword may stand in: raw lines apart, all original fields and the message.
  const std::vector<TextColumn>& KeywordColumns() {
    if (keyword_columns) return *keyword_columns;
    keyword_columns.emplace();
    for (const auto name : batch->field_names()) {
      const auto columns = batch->ReadFieldAll(name);
      if (!columns.ok()) {
        error = columns.status();
        return *keyword_columns;
      }
      for (const auto* column : *columns) {
        if (!column->empty()) keyword_columns->emplace_back(*column, std::nullopt);
      }
    }
    const auto message = batch->Read(event::Core::kMessage);
    if (!message.ok()) {
      error = message.status();
    } else if (!(*message)->empty()) {
      keyword_columns->emplace_back(**message, event::Core::kMessage);
    }
    return *keyword_columns;
  }

  const std::vector<std::pair<std::string_view, std::string>>& RawLines() {
    if (raw_folded) return *raw_folded;
    raw_folded.emplace();
    const auto lines = batch->RawLines();
    if (!lines.ok()) {
      error = lines.status();
      return *raw_folded;
    }
    for (const auto line : **lines) {
      raw_folded->emplace_back(line, FoldCase(line));
    }
    return *raw_folded;
  }

  bool ComputeMatch(const RuleSet::Atom& atom, uint64_t* bits) {
    const FieldColumns& field = Field(atom.field);
    const auto test = [&atom](const MatchValue& value) {
      return atom.type == Expression::Type::kExists || atom.matcher.Matches(value);
    };
    bool any = false;
    if (field.core) {
      any = MarkRows(*field.core, test, passes, bits);
      for (size_t row = 0; any && !field.originals.empty() && row < batch->size(); ++row) {
        if (field.HasOriginal(row)) bits[row / 64] &= ~(1ULL << (row % 64));
      }
    }
    for (const auto& column : field.originals) any = MarkRows(column, test, passes, bits) || any;
    return any;
  }

  // Calls `each(text, folded)` for every value that the event has for the field.
  template <typename Each>
  static bool AnyValue(const FieldColumns& field, size_t row, const Each& each) {
    bool original = false;
    for (const auto& column : field.originals) {
      if (!column.has(row)) continue;
      original = true;
      if (each(MatchValue{column.text(row), column.folded(row)})) return true;
    }
    return !original && field.core && field.core->has(row) &&
           each(MatchValue{field.core->text(row), field.core->folded(row)});
  }

  bool ComputeFieldReference(const RuleSet::Atom& atom, uint64_t* bits) {
    const FieldColumns& field = Field(atom.field);
    const FieldColumns& other = Field(atom.other);
    bool any = false;
    for (size_t row = 0; row < batch->size(); ++row) {
      const bool passes_row = AnyValue(field, row, [&](const MatchValue& value) {
        return AnyValue(other, row, [&](const MatchValue& reference) {
          return Relates(value, reference, atom.placement, atom.cased);
        });
      });
      if (!passes_row) continue;
      SetBit(bits, row);
      any = true;
    }
    return any;
  }

  bool ComputeKeyword(const RuleSet::Atom& atom, uint64_t* bits) {
    bool any = false;
    const auto& lines = RawLines();
    for (size_t row = 0; row < lines.size(); ++row) {
      if (!atom.matcher.Matches({lines[row].first, lines[row].second})) continue;
      SetBit(bits, row);
      any = true;
    }
    const auto test = [&atom](const MatchValue& value) { return atom.matcher.Matches(value); };
    for (const auto& column : KeywordColumns()) {
      any = MarkRows(column, test, passes, bits) || any;
    }
    return any;
  }

  bool Compute(const RuleSet::Atom& atom, uint64_t* bits) {
    if (atom.type == Expression::Type::kKeyword) return ComputeKeyword(atom, bits);
    if (atom.type == Expression::Type::kFieldReference) return ComputeFieldReference(atom, bits);
    return ComputeMatch(atom, bits);
  }

  // The rows that pass an atom: a slot of the pool, or kNoRow.
  int32_t AtomRows(uint32_t number) {
    int32_t& slot = atom_slot[number];
    if (slot != kUnknown) return slot;
    const RuleSet::Atom& atom = set.atoms_[number];
    const size_t at = pool.size();
    pool.resize(at + words, 0);
    const bool any = Compute(atom, &pool[at]);
    if (!any) pool.resize(at);
    return slot = any ? static_cast<int32_t>(at / words) : kNoRow;
  }

  // Bitmaps of rows on a stack, by offset: it may move while it grows.
  size_t Push() {
    const size_t at = top;
    top += words;
    if (stack.size() < top) stack.resize(std::max(top, stack.size() * 2));
    return at;
  }
  uint64_t* At(size_t offset) { return &stack[offset]; }
  bool Empty(size_t offset) {
    return std::all_of(At(offset), At(offset) + words, [](uint64_t word) { return word == 0; });
  }

  // out = the rows of mask for which the node holds.
  void Evaluate(uint32_t number, size_t mask, size_t out) {
    const RuleSet::Node& node = set.nodes_[number];
    const size_t before = top;
    switch (node.type) {
      case Expression::Type::kAnd: {
        std::copy_n(At(mask), words, At(out));
        const size_t part = Push();
        for (uint32_t i = 0; i < node.count && !Empty(out); ++i) {
          Evaluate(set.links_[node.first + i], out, part);
          std::copy_n(At(part), words, At(out));
        }
        break;
      }
      case Expression::Type::kOr: {
        std::fill_n(At(out), words, 0);
        const size_t rest = Push();
        const size_t part = Push();
        std::copy_n(At(mask), words, At(rest));
        for (uint32_t i = 0; i < node.count && !Empty(rest); ++i) {
          Evaluate(set.links_[node.first + i], rest, part);
          for (size_t word = 0; word < words; ++word) {
            At(out)[word] |= At(part)[word];
            At(rest)[word] &= ~At(part)[word];
          }
        }
        break;
      }
      case Expression::Type::kNot: {
        const size_t part = Push();
        Evaluate(set.links_[node.first], mask, part);
        for (size_t word = 0; word < words; ++word)
          At(out)[word] = At(mask)[word] & ~At(part)[word];
        break;
      }
      default: {
        const int32_t slot = AtomRows(node.atom);
        for (size_t word = 0; word < words; ++word) {
          At(out)[word] = slot == kNoRow ? 0 : At(mask)[word] & pool[slot * words + word];
        }
      }
    }
    top = before;
  }

  bool AppliesTo(const RuleSet::Target& target) const {
    const std::string& tenant = set.entries_[target.entry].tenant;
    return tenant.empty() || tenant == batch->tenant();
  }

  void RunSource(const RuleSet::Source& source, std::vector<Match>& matches) {
    const size_t all = Push();
    const size_t rows = Push();
    const size_t out = Push();
    std::fill_n(At(all), words, ~0ULL);
    if (batch->size() % 64 != 0) At(all)[words - 1] = (1ULL << (batch->size() % 64)) - 1;
    Evaluate(source.root, all, rows);
    if (!Empty(rows)) {
      for (const uint32_t number : source.targets) {
        if (!AppliesTo(set.targets_[number])) continue;
        Evaluate(set.targets_[number].root, rows, out);
        Collect(number, out, matches);
      }
    }
    top = all;
  }

  void Collect(uint32_t target, size_t offset, std::vector<Match>& matches) {
    for (size_t word = 0; word < words; ++word) {
      for (uint64_t bits = At(offset)[word]; bits != 0; bits &= bits - 1) {
        const auto row =
            static_cast<uint32_t>(word * 64 + static_cast<size_t>(__builtin_ctzll(bits)));
        matches.push_back({row, target});
      }
    }
  }

  const RuleSet& set;
  BatchReader* batch = nullptr;
  size_t words = 0;
  std::vector<int32_t> atom_slot;
  std::vector<std::optional<FieldColumns>> fields;
  std::optional<std::vector<TextColumn>> keyword_columns;
  std::optional<std::vector<std::pair<std::string_view, std::string>>> raw_folded;
  std::vector<uint64_t> pool;
  std::vector<uint64_t> stack;
  size_t top = 0;
  std::vector<uint8_t> passes;
  absl::Status error;
};

BatchMatcher::BatchMatcher(std::shared_ptr<const RuleSet> rules)
    : rules_(std::move(rules)), impl_(std::make_unique<Impl>(*rules_)) {}
BatchMatcher::~BatchMatcher() = default;

absl::StatusOr<std::vector<Match>> BatchMatcher::Run(BatchReader& batch) {
  std::vector<Match> matches;
  impl_->Start(batch);
  if (batch.size() == 0) return matches;
  for (const auto& source : rules_->sources_) impl_->RunSource(source, matches);
  if (!impl_->error.ok()) return impl_->error;
  std::sort(matches.begin(), matches.end());
  return matches;
}

absl::StatusOr<std::string_view> BatchMatcher::Value(uint32_t field, size_t row) {
  const auto& columns = impl_->Field(field);
  if (!impl_->error.ok()) return impl_->error;
  for (const auto& column : columns.originals) {
    if (column.has(row)) return column.text(row);
  }
  return columns.core ? columns.core->text(row) : std::string_view();
}

}  // namespace yagura::detection
