#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/text/text.h"
#include "services/ingestion/domain/described/core_target.h"
#include "services/ingestion/domain/described/description.h"
#include "services/ingestion/domain/described/grok.h"
#include "services/ingestion/domain/described/key_values.h"
#include "services/ingestion/domain/described/time_format.h"

// The steps that a description is made of; see content/parsers/README.md.
namespace yagura::ingestion {

// The first expression that matches adds its fields; false where none does and one is required.
class GrokStep final : public Step {
 public:
  GrokStep(std::string from, std::vector<Grok> expressions, bool required)
      : from_(std::move(from)), expressions_(std::move(expressions)), required_(required) {}
  bool Run(StepContext& context) const override;

 private:
  std::string from_;
  std::vector<Grok> expressions_;
  bool required_;
};

class KeyValueStep final : public Step {
 public:
  // `prefix` stands before the name of each field.
  KeyValueStep(std::string from, KeyValueFormat format, std::string prefix)
      : from_(std::move(from)), format_(std::move(format)), prefix_(std::move(prefix)) {}
  bool Run(StepContext& context) const override;

 private:
  std::string from_;
  KeyValueFormat format_;
  std::string prefix_;
};

// Values in a fixed order (RFC 4180 quoting). Columns named "_" and empty values are left out; what
// goes beyond the named columns is "column_N", counted from 1.
class CsvStep final : public Step {
 public:
  CsvStep(std::string from, char separator, std::vector<std::string> columns)
      : from_(std::move(from)), separator_(separator), columns_(std::move(columns)) {}
  bool Run(StepContext& context) const override;

 private:
  std::string from_;
  char separator_;
  std::vector<std::string> columns_;
};

// Goes on with the steps of the case that a field's value names.
class SwitchStep final : public Step {
 public:
  struct Case {
    std::vector<std::string> values;
    Steps steps;
  };
  SwitchStep(std::string on, std::vector<Case> cases, Steps otherwise);
  bool Run(StepContext& context) const override;

 private:
  std::string on_;
  std::vector<Case> cases_;
  StringMap<const Steps*> by_value_;
  Steps otherwise_;
};

// A text with fields in it: "%{host}%{path}".
class Template {
 public:
  static absl::StatusOr<Template> Parse(std::string_view text);
  // In the arena where it is more than one piece.
  std::string_view Expand(const StepContext& context) const;
  bool empty() const { return pieces_.empty(); }

 private:
  struct Piece {
    bool is_field;
    std::string text;
  };
  std::vector<Piece> pieces_;
};

// Fills one place of the core from the first of `from` that has a text; "-", "?" and "N/A"
// are none.
class CoreStep final : public Step {
 public:
  struct Rule {
    std::vector<std::string> from;
    bool join = false;              // all of `from`, with spaces between, instead of the first
    std::optional<Template> value;  // instead of `from`
    // What the device writes (lower case) and what it means; "*" is everything else.
    StringMap<std::string> values;
    CoreSetter set = nullptr;          // or one of the two:
    std::vector<TimeFormat> formats;   // for event_time, the first that fits
    std::chrono::nanoseconds unit{0};  // for duration: of a number,
    bool clock = false;                // or as a clock's: "0:00:30", "1d 2h:03m:04s"
  };
  explicit CoreStep(Rule rule) : rule_(std::move(rule)) {}
  bool Run(StepContext& context) const override;

 private:
  std::string_view Text(const StepContext& context) const;

  Rule rule_;
};

}  // namespace yagura::ingestion
