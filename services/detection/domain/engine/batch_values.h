#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

#include "common/event/batch_codec.h"
#include "services/detection/domain/engine/columns.h"
#include "services/detection/domain/engine/field_index.h"
#include "services/detection/domain/engine/memory.h"
#include "services/detection/domain/engine/rule_set.h"

namespace yagura::detection {

// Which tests of a rule set the values of a batch's events pass: decided once per distinct value,
// and remembered from batch to batch. Sets of passed tests have numbers; 0 is the empty one.
class BatchValues {
 public:
  // The keyword tests of one plan, put together.
  struct Keywords {
    struct Column {
      std::vector<uint32_t> sets;  // by value
      size_t undecided = 0;
      bool any = false;  // a value passes something
    };
    std::unique_ptr<FieldIndex> index;
    std::vector<Column> columns;  // of this batch
  };
  struct Counts {
    uint64_t values = 0;   // distinct values of batches that were asked for
    uint64_t decided = 0;  // of these, put to the tests: not remembered
  };

  BatchValues(const RuleSet& rules, uint64_t seed);

  // From now on about this batch, which lives as long as it is asked about.
  void Start(event::BatchReader& batch);
  // Forgets what was remembered. All numbers of sets become void.
  void Forget();

  // Sets `sets` to the set that each of the events (by row) passes with its values for the field.
  // False where no event of the batch has such a value, and `sets` is of no account.
  bool Decide(uint32_t field, std::span<const uint32_t> rows, std::vector<uint32_t>& sets);
  // The same for keywords, which may stand anywhere in an event.
  void DecideKeywords(Keywords& keywords, std::span<const uint32_t> rows,
                      std::vector<uint32_t>& sets);
  bool Refers(const RuleSet::Atom& reference, size_t row);

  std::unique_ptr<FieldIndex> MakeKeywordIndex(std::span<const uint32_t> atoms) const;
  uint32_t SetOf(std::span<const uint32_t> atoms) { return sets_.Number(atoms); }
  std::span<const uint32_t> Set(uint32_t number) const { return sets_[number]; }
  size_t set_count() const { return sets_.size(); }

  // The first value that the event has for a field, as text.
  std::string_view First(uint32_t field, size_t row);

  event::BatchReader& batch() const { return *batch_; }
  // Of what could not be read of the batch since Start.
  const absl::Status& error() const { return error_; }
  const Counts& counts() const { return counts_; }
  size_t bytes() const { return sets_.bytes() + values_.bytes(); }

 private:
  // The values of one Sigma field.
  struct FieldColumns {
    std::vector<TextColumn> originals;
    std::optional<TextColumn> core;  // counts where no original has a value
    bool HasOriginal(size_t row) const;
    bool empty() const { return originals.empty() && !core; }
  };

  FieldColumns& Field(uint32_t number);
  void LoadOriginals(std::string_view name, std::vector<TextColumn>& columns);
  // Everything that a keyword may stand in, raw lines apart.
  std::vector<TextColumn>& KeywordColumns();
  void DecideKeywordColumn(const FieldIndex& index, const TextColumn& column,
                           std::span<const uint32_t> rows, Keywords::Column& decided);
  uint32_t DecideValue(uint32_t field, std::string_view text);
  uint32_t Union(uint32_t a, uint32_t b);

  const RuleSet& rules_;
  event::BatchReader* batch_ = nullptr;
  absl::Status error_;
  std::vector<std::optional<FieldColumns>> fields_;
  std::vector<uint32_t> loaded_;  // fields that have a value in fields_
  std::vector<uint8_t> present_;  // by field: an event may have a value
  std::optional<std::vector<TextColumn>> keyword_columns_;
  uint64_t seed_;
  SequenceTable sets_;
  ValueTable values_;
  MatchScratch scratch_;
  std::vector<uint32_t> passed_;
  Counts counts_;
};

}  // namespace yagura::detection
