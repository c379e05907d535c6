#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/text/text.h"
#include "services/detection/domain/engine/block_table.h"
#include "services/detection/domain/engine/literal_index.h"
#include "services/detection/domain/engine/matcher.h"

namespace yagura::detection {

// What looking at a value needs; one thread's. Keeps its memory.
class MatchScratch {
 private:
  friend class FieldIndex;
  std::unique_ptr<char[]> folded_;
  size_t folded_size_ = 0;
  std::vector<uint32_t> seen_;  // by literal: in which look it was found last
  uint32_t look_ = 0;
};

// All tests that rules make on one field, decided for a value at once: equality by a hash table,
// texts by one scan for all literals, address blocks by a search. Patterns and regular expressions
// are tried only where a literal that they need was found. Immutable and thread-safe.
class FieldIndex {
 public:
  struct Test {
    uint32_t number;         // what Match tells
    const Matcher* matcher;  // outlives the index; null: every value passes
  };
  explicit FieldIndex(const std::vector<Test>& tests);

  // Sets `passed` to the numbers of the tests that the value passes, each once, ascending.
  void Match(std::string_view value, MatchScratch& scratch, std::vector<uint32_t>& passed) const;

  // Tests that every value must be put to, for lack of a literal.
  size_t plain_tests() const { return plain_.size(); }

 private:
  enum class Place : uint8_t { kAnywhere, kStart, kEnd, kConfirm };
  // What a literal stands for.
  struct Use {
    uint32_t number;
    Place place;
    const Matcher* matcher;  // of kConfirm
  };

  void TakeLiterals(const MatchValue& value, bool ascii, MatchScratch& scratch,
                    std::vector<uint32_t>& passed) const;
  static std::string_view Fold(std::string_view value, MatchScratch& scratch);
  void AddLiteral(const std::string& literal, const Use& use);
  void Finish();

  StringMap<std::vector<uint32_t>> equals_;
  StringMap<std::vector<uint32_t>> equals_cased_;
  StringMap<uint32_t> literal_numbers_;    // while built
  std::vector<std::vector<Use>> uses_of_;  // while built
  LiteralIndex literals_;
  std::vector<uint32_t> first_use_;  // by literal, and the end
  std::vector<Use> uses_;
  std::vector<uint8_t> placed_;  // by literal: every occurrence counts, not the first alone
  BlockTable blocks_;
  std::vector<Test> plain_;
  std::vector<uint32_t> always_;
  size_t longest_equal_ = 0;  // no longer value is equal to any text, folded
  size_t shortest_ = 0;       // no shorter value passes any test
};

}  // namespace yagura::detection
