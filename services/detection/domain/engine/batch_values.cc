#include "services/detection/domain/engine/batch_values.h"

#include <algorithm>
#include <iterator>

#include "services/detection/domain/engine/case_fold.h"

namespace yagura::detection {
namespace {

// Longer values are decided anew each time: they would push out too many others.
constexpr size_t kMaxRemembered = 256 * 1024;

bool Relates(std::string_view text, std::string_view other, Matcher::Placement placement) {
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

BatchValues::BatchValues(const RuleSet& rules, uint64_t seed)
    : rules_(rules), fields_(rules.fields().size()), seed_(seed), sets_(seed), values_(seed) {}

void BatchValues::Start(event::BatchReader& batch) {
  batch_ = &batch;
  error_ = absl::OkStatus();
  for (const uint32_t field : loaded_) fields_[field].reset();
  loaded_.clear();
  keyword_columns_.reset();
  // Rules ask for hundreds of fields, of which a batch has a few.
  present_.assign(rules_.fields().size(), 0);
  for (const uint32_t field : rules_.core_fields()) present_[field] = 1;
  for (const auto name : batch.field_names()) {
    for (const uint32_t field : rules_.FieldsOf(name)) present_[field] = 1;
  }
}

void BatchValues::Forget() {
  sets_ = SequenceTable(seed_);
  values_ = ValueTable(seed_);
}

bool BatchValues::FieldColumns::HasOriginal(size_t row) const {
  return std::any_of(originals.begin(), originals.end(),
                     [row](const TextColumn& column) { return column.has(row); });
}

void BatchValues::LoadOriginals(std::string_view name, std::vector<TextColumn>& columns) {
  const auto read = batch_->ReadFieldAll(name);
  if (!read.ok()) {
    error_ = read.status();
    return;
  }
  for (const auto* column : *read) {
    if (!column->empty()) columns.emplace_back(*column, std::nullopt);
  }
}

BatchValues::FieldColumns& BatchValues::Field(uint32_t number) {
  auto& loaded = fields_[number];
  if (loaded) return *loaded;
  loaded.emplace();
  loaded_.push_back(number);
  const RuleSet::Field& field = rules_.fields()[number];
  if (!field.original.empty()) LoadOriginals(field.original, loaded->originals);
  if (!field.core) return *loaded;
  const auto column = batch_->Read(*field.core);
  if (!column.ok()) {
    error_ = column.status();
  } else if (!(*column)->empty()) {
    loaded->core.emplace(**column, *field.core);
  }
  return *loaded;
}

std::vector<TextColumn>& BatchValues::KeywordColumns() {
  if (keyword_columns_) return *keyword_columns_;
  keyword_columns_.emplace();
  for (const auto name : batch_->field_names()) LoadOriginals(name, *keyword_columns_);
  const auto message = batch_->Read(event::Core::kMessage);
  if (!message.ok()) {
    error_ = message.status();
  } else if (!(*message)->empty()) {
    keyword_columns_->emplace_back(**message, event::Core::kMessage);
  }
  return *keyword_columns_;
}

uint32_t BatchValues::DecideValue(uint32_t field, std::string_view text) {
  ++counts_.values;
  const bool remembered = text.size() <= kMaxRemembered;
  uint64_t hash = 0;
  if (remembered) {
    if (const uint32_t* known = values_.Find(field, text, hash)) return *known;
  }
  ++counts_.decided;
  rules_.index(field)->Match(text, scratch_, passed_);
  const uint32_t set = sets_.Number(passed_);
  if (remembered) values_.Add(field, text, hash, set);
  return set;
}

uint32_t BatchValues::Union(uint32_t a, uint32_t b) {
  if (a == b || b == 0) return a;
  if (a == 0) return b;
  std::vector<uint32_t> both;
  std::set_union(sets_[a].begin(), sets_[a].end(), sets_[b].begin(), sets_[b].end(),
                 std::back_inserter(both));
  return sets_.Number(both);
}

bool BatchValues::Decide(uint32_t field, std::span<const uint32_t> rows,
                         std::vector<uint32_t>& sets) {
  if (present_[field] == 0 || rules_.index(field) == nullptr) return false;
  FieldColumns& columns = Field(field);
  if (columns.empty()) return false;
  sets.assign(rows.size(), 0);
  const auto add = [&](TextColumn& column, bool unless_original) {
    auto& decided = column.decided();
    const auto& value_of = column.rows();
    for (size_t i = 0; i < rows.size(); ++i) {
      const uint16_t value = value_of[rows[i]];
      if (value == 0 || (unless_original && columns.HasOriginal(rows[i]))) continue;
      uint32_t& set = decided[value - 1];
      if (set == TextColumn::kUndecided) set = DecideValue(field, column.value(value - 1));
      sets[i] = Union(sets[i], set);
    }
  };
  for (TextColumn& column : columns.originals) add(column, false);
  if (columns.core) add(*columns.core, !columns.originals.empty());
  return true;
}

std::unique_ptr<FieldIndex> BatchValues::MakeKeywordIndex(std::span<const uint32_t> atoms) const {
  std::vector<FieldIndex::Test> tests;
  for (const uint32_t atom : atoms) tests.push_back({atom, &rules_.atoms()[atom].matcher});
  return std::make_unique<FieldIndex>(tests);
}

void BatchValues::DecideKeywords(Keywords& keywords, std::span<const uint32_t> rows,
                                 std::vector<uint32_t>& sets) {
  sets.assign(rows.size(), 0);
  const auto lines = batch_->RawLines();
  if (!lines.ok()) {
    error_ = lines.status();
    return;
  }
  for (size_t i = 0; i < rows.size(); ++i) {
    keywords.index->Match((**lines)[rows[i]], scratch_, passed_);
    sets[i] = sets_.Number(passed_);
  }
  auto& columns = KeywordColumns();
  keywords.columns.resize(columns.size());
  for (size_t at = 0; at < columns.size(); ++at) {
    Keywords::Column& decided = keywords.columns[at];
    DecideKeywordColumn(*keywords.index, columns[at], rows, decided);
    if (!decided.any) continue;
    const auto& value_of = columns[at].rows();
    for (size_t i = 0; i < rows.size(); ++i) {
      if (const uint16_t value = value_of[rows[i]]; value != 0) {
        sets[i] = Union(sets[i], decided.sets[value - 1]);
      }
    }
  }
}

// Decides at least the values that the events have: all, where most events are asked about, as
// going through the events costs more than looking at a few values that nobody asks for.
void BatchValues::DecideKeywordColumn(const FieldIndex& index, const TextColumn& column,
                                      std::span<const uint32_t> rows, Keywords::Column& decided) {
  if (decided.sets.empty()) {
    decided.sets.assign(column.distinct(), TextColumn::kUndecided);
    decided.undecided = column.distinct();
  }
  const auto decide = [&](size_t value) {
    uint32_t& set = decided.sets[value];
    if (set != TextColumn::kUndecided) return;
    index.Match(column.value(value), scratch_, passed_);
    set = sets_.Number(passed_);
    --decided.undecided;
    decided.any = decided.any || set != 0;
  };
  if (decided.undecided == 0) return;
  if (rows.size() * 2 >= batch_->size()) {
    for (size_t value = 0; value < decided.sets.size(); ++value) decide(value);
    return;
  }
  for (const uint32_t row : rows) {
    if (const uint16_t value = column.rows()[row]; value != 0) decide(value - 1);
  }
}

bool BatchValues::Refers(const RuleSet::Atom& reference, size_t row) {
  const auto any_value = [this, row](uint32_t number, const auto& passes) {
    const FieldColumns& field = Field(number);
    bool original = false;
    for (const auto& column : field.originals) {
      if (!column.has(row)) continue;
      original = true;
      if (passes(column.text(row))) return true;
    }
    return !original && field.core && field.core->has(row) && passes(field.core->text(row));
  };
  return any_value(reference.field, [&](std::string_view text) {
    return any_value(reference.other, [&](std::string_view other) {
      if (reference.cased) return Relates(text, other, reference.placement);
      return Relates(FoldCase(text), FoldCase(other), reference.placement);
    });
  });
}

std::string_view BatchValues::First(uint32_t field, size_t row) {
  const FieldColumns& columns = Field(field);
  for (const auto& column : columns.originals) {
    if (column.has(row)) return column.text(row);
  }
  return columns.core ? columns.core->text(row) : std::string_view();
}

}  // namespace yagura::detection
