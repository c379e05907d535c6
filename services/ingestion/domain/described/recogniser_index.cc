#include "services/ingestion/domain/described/recogniser_index.h"

#include <re2/re2.h>
#include <re2/set.h>

#include <algorithm>
#include <string>
#include <utility>

#include "common/status/status.h"

namespace yagura::ingestion {
namespace {

constexpr int64_t kMaxAutomatonBytes = 64 << 20;

// Patterns that are looked for in one part of a line, each with the number of its condition.
// (vectorscan would be faster; version 5.4.9, Debian 12's, misses matches of such patterns.)
class Scanner {
 public:
  Scanner() : set_(Options(), RE2::UNANCHORED) {}

  // False: the pattern cannot be in a set, and its condition counts as met.
  bool Add(const std::string& pattern, size_t condition) {
    if (set_.Add(pattern, nullptr) < 0) return false;
    conditions_.push_back(condition);
    return true;
  }
  bool Compile() { return conditions_.empty() || set_.Compile(); }

  void Scan(std::string_view text, RecogniserIndex::Scratch& scratch) const {
    if (conditions_.empty() || text.empty()) return;
    RE2::Set::ErrorInfo error{RE2::Set::kNoError};
    set_.Match({text.data(), text.size()}, &scratch.found, &error);
    if (error.kind != RE2::Set::kNoError) {  // the automaton grew too large: all must be asked
      for (const size_t condition : conditions_) scratch.met[condition] = true;
      return;
    }
    for (const int found : scratch.found) {
      scratch.met[conditions_[static_cast<size_t>(found)]] = true;
    }
  }

 private:
  static RE2::Options Options() {
    RE2::Options options;
    options.set_encoding(RE2::Options::EncodingLatin1);
    options.set_log_errors(false);
    options.set_max_mem(kMaxAutomatonBytes);
    return options;
  }

  RE2::Set set_;
  std::vector<size_t> conditions_;  // by position in the set
};

// One test of a description, and the conditions that must be met before it is worth asking.
struct Test {
  size_t description;
  const Recogniser* recogniser;
  std::vector<size_t> conditions;
};

}  // namespace

struct RecogniserIndex::Parts {
  Scanner line;
  Scanner body;
  Scanner program;
  std::vector<Test> tests;  // in the order of their descriptions
  size_t descriptions = 0;
  size_t conditions = 0;
};

RecogniserIndex::RecogniserIndex(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
RecogniserIndex::~RecogniserIndex() = default;

absl::StatusOr<std::unique_ptr<RecogniserIndex>> RecogniserIndex::Build(
    const std::vector<std::shared_ptr<const Description>>& descriptions) {
  auto parts = std::make_unique<Parts>();
  size_t next = 0;
  for (size_t i = 0; i < descriptions.size(); ++i) {
    for (const Recogniser& recogniser : descriptions[i]->recognisers) {
      Test& test = parts->tests.emplace_back(Test{i, &recogniser, {}});
      const auto add = [&](Scanner& scanner, const std::string& pattern) {
        if (scanner.Add(pattern, next)) test.conditions.push_back(next++);
      };
      for (const std::string& text : recogniser.contains) {
        add(parts->line, RE2::QuoteMeta(text));
      }
      if (!recogniser.starts.empty()) add(parts->body, "^" + RE2::QuoteMeta(recogniser.starts));
      if (recogniser.matches) add(parts->body, recogniser.matches->pattern());
      if (recogniser.program) {
        add(parts->program, "^(?:" + recogniser.program->pattern() + ")$");
      }
    }
  }
  parts->descriptions = descriptions.size();
  parts->conditions = next;
  for (Scanner* scanner : {&parts->line, &parts->body, &parts->program}) {
    if (!scanner->Compile()) {
      return MakeError(absl::StatusCode::kResourceExhausted, "SCANNER",
                       "the recognisers cannot be made into one scanner");
    }
  }
  return std::unique_ptr<RecogniserIndex>(new RecogniserIndex(std::move(parts)));
}

size_t RecogniserIndex::Find(const LineInput& input, Scratch& scratch) const {
  scratch.met.assign(parts_->conditions, false);
  parts_->line.Scan(input.line, scratch);
  parts_->body.Scan(input.header.body, scratch);
  parts_->program.Scan(input.header.program, scratch);
  for (const Test& test : parts_->tests) {
    if (std::all_of(test.conditions.begin(), test.conditions.end(),
                    [&](size_t condition) { return scratch.met[condition]; }) &&
        test.recogniser->Holds(input)) {
      return test.description;
    }
  }
  return parts_->descriptions;
}

}  // namespace yagura::ingestion
