#include "services/detection/domain/engine/field_index.h"

#include <algorithm>

#include "services/detection/domain/engine/case_fold.h"

namespace yagura::detection {
namespace {

bool IsAscii(std::string_view text) {
  uint8_t all = 0;
  for (const char c : text) all |= static_cast<uint8_t>(c);
  return all < 0x80;
}

}  // namespace

FieldIndex::FieldIndex(const std::vector<Test>& tests) {
  std::vector<BlockTable::Block> blocks;
  for (const Test& test : tests) {
    if (test.matcher == nullptr) {
      always_.push_back(test.number);
      continue;
    }
    const Matcher& matcher = *test.matcher;
    if (matcher.kind() == Matcher::Kind::kEquals) {
      (matcher.cased() ? equals_cased_ : equals_)[matcher.text()].push_back(test.number);
      continue;
    }
    if (matcher.kind() == Matcher::Kind::kCidr) {
      blocks.push_back({matcher.low(), matcher.high(), test.number});
      continue;
    }
    const auto literals = matcher.RequiredLiterals();
    if (literals.empty()) {
      plain_.push_back(test);
      continue;
    }
    Place place = Place::kConfirm;
    if (!matcher.cased()) {
      if (matcher.kind() == Matcher::Kind::kContains) place = Place::kAnywhere;
      if (matcher.kind() == Matcher::Kind::kStartsWith) place = Place::kStart;
      if (matcher.kind() == Matcher::Kind::kEndsWith) place = Place::kEnd;
    }
    for (const auto& literal : literals) AddLiteral(literal, {test.number, place, &matcher});
  }
  blocks_ = BlockTable(blocks);
  Finish();
}

void FieldIndex::AddLiteral(const std::string& literal, const Use& use) {
  const auto [found, is_new] =
      literal_numbers_.try_emplace(literal, static_cast<uint32_t>(uses_of_.size()));
  if (is_new) uses_of_.emplace_back();
  uses_of_[found->second].push_back(use);
  literals_alone_ = literals_alone_ && use.place != Place::kConfirm;
}

void FieldIndex::Finish() {
  std::vector<std::string> literals(uses_of_.size());
  size_t shortest = SIZE_MAX;
  for (const auto& [literal, number] : literal_numbers_) {
    literals[number] = literal;
    shortest = std::min(shortest, literal.size());
  }
  literals_alone_ = literals_alone_ && always_.empty() && equals_.empty() &&
                    equals_cased_.empty() && blocks_.empty() && plain_.empty();
  if (literals_alone_) shortest_ = shortest;
  literals_ = LiteralIndex(literals);
  for (const auto& uses : uses_of_) {
    first_use_.push_back(static_cast<uint32_t>(uses_.size()));
    uses_.insert(uses_.end(), uses.begin(), uses.end());
  }
  first_use_.push_back(static_cast<uint32_t>(uses_.size()));
  literal_numbers_ = {};
  uses_of_ = {};
}

std::string_view FieldIndex::Fold(std::string_view value, MatchScratch& scratch) {
  const size_t room = MaxFoldedSize(value.size());
  if (scratch.folded_size_ < room) {
    scratch.folded_ = std::make_unique_for_overwrite<char[]>(room);
    scratch.folded_size_ = room;
  }
  const char* const end = FoldCaseInto(value, scratch.folded_.get());
  return {scratch.folded_.get(), static_cast<size_t>(end - scratch.folded_.get())};
}

void FieldIndex::Match(std::string_view value, MatchScratch& scratch,
                       std::vector<uint32_t>& passed) const {
  passed.clear();
  if (MaxFoldedSize(value.size()) < shortest_) return;
  // Keywords look through whole events: no copy of these is made.
  const bool as_it_is = literals_alone_ && IsAscii(value);
  const std::string_view folded = as_it_is ? value : Fold(value, scratch);
  const MatchValue both{value, folded};

  passed.assign(always_.begin(), always_.end());
  const auto take_equal = [&passed](const auto& table, std::string_view text) {
    if (table.empty()) return;
    const auto found = table.find(text);
    if (found == table.end()) return;
    passed.insert(passed.end(), found->second.begin(), found->second.end());
  };
  take_equal(equals_, folded);
  take_equal(equals_cased_, value);

  if (scratch.seen_.size() < literals_.size()) scratch.seen_.resize(literals_.size(), 0);
  if (++scratch.look_ == 0) {
    std::fill(scratch.seen_.begin(), scratch.seen_.end(), 0);
    scratch.look_ = 1;
  }
  const auto take_literal = [&](uint32_t literal, size_t begin) {
    const bool again = scratch.seen_[literal] == scratch.look_;
    scratch.seen_[literal] = scratch.look_;
    const uint32_t last = first_use_[literal + 1];
    for (uint32_t i = first_use_[literal]; i < last; ++i) {
      const Use& use = uses_[i];
      bool passes = false;
      switch (use.place) {
        case Place::kAnywhere:
          passes = !again;
          break;
        case Place::kStart:
          passes = begin == 0;
          break;
        case Place::kEnd:
          passes = begin + use.matcher->text().size() == folded.size();
          break;
        case Place::kConfirm:
          passes = !again && use.matcher->Matches(both);
          break;
      }
      if (passes) passed.push_back(use.number);
    }
  };
  if (as_it_is) {
    literals_.FindInAnyCase(value, take_literal);
  } else {
    literals_.Find(folded, take_literal);
  }

  if (!blocks_.empty()) {
    const auto in = blocks_.Find(value);
    passed.insert(passed.end(), in.begin(), in.end());
  }
  for (const Test& test : plain_) {
    if (test.matcher->Matches(both)) passed.push_back(test.number);
  }
  if (passed.size() < 2) return;
  std::sort(passed.begin(), passed.end());
  passed.erase(std::unique(passed.begin(), passed.end()), passed.end());
}

}  // namespace yagura::detection
