#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "services/ingestion/domain/parsers/parser.h"

namespace re2 {
class RE2;
}

namespace yagura::ingestion {

class GrokPatterns;

// How a line of one product is taken apart: what a step works on and adds to.
struct StepContext {
  const LineInput& input;
  TextArena& arena;
  ParsedLine* parsed;
  // What the description caught for itself, under names that begin with "__".
  std::vector<event::FieldView>& own;

  // Adds a field to the event, or to `own` by its name.
  void Add(event::FieldView field);
  // A field's value, or a part of the line: "@line", "@body" (what follows the syslog header),
  // "@program", "@host", "@process_id", "@message_id", "@message". The first field of that name;
  // empty where there is none. "__name" is one of `own` alone: a line cannot bring its own.
  std::string_view Text(std::string_view name) const;
};

// One step of a description: adds fields, or fills the core. Immutable and thread-safe.
class Step {
 public:
  virtual ~Step() = default;
  // False: the line is not what the description expects.
  virtual bool Run(StepContext& context) const = 0;
};
using Steps = std::vector<std::unique_ptr<Step>>;

// Tells whose a line is; all tests that are set must hold.
struct Recogniser {
  Recogniser();
  Recogniser(Recogniser&&) noexcept;
  ~Recogniser();
  bool Holds(const LineInput& input) const;

  std::vector<std::string> contains;  // in the whole line, each of them
  std::string starts;                 // the body begins so
  std::unique_ptr<re2::RE2> program;  // of the header, whole
  std::unique_ptr<re2::RE2> matches;  // somewhere in the body
};

// A product's lines described in content/parsers, in Grok, key=value and CSV, so that a new one
// needs no compiler. content/parsers/README.md has the language. Immutable and thread-safe.
struct Description {
  std::string name;     // as a source's setting names it
  std::string title;    // for people
  std::string product;  // "vendor.product"
  int priority = 0;     // higher ones are asked first
  // Fields of RFC 5424's structured data are called "name", not "id.name".
  bool plain_structured_data = false;
  std::vector<Recogniser> recognisers;
  Steps steps;
  Steps core;

  // INVALID_ARGUMENT naming the line of `yaml` and what is wrong there.
  static absl::StatusOr<std::shared_ptr<const Description>> Parse(std::string_view yaml,
                                                                  const GrokPatterns& patterns);
};

// A parser that follows a description.
std::unique_ptr<Parser> MakeDescribedParser(std::shared_ptr<const Description> description);

}  // namespace yagura::ingestion
