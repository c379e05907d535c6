#include "services/detection/domain/engine/field_index.h"

#include <algorithm>

#include "common/text/ascii.h"
#include "services/detection/domain/engine/case_fold.h"

namespace yagura::detection {
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
      if (!matcher.cased()) longest_equal_ = std::max(longest_equal_, matcher.text().size());
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
}

void FieldIndex::Finish() {
  std::vector<std::string> literals(uses_of_.size());
  size_t shortest = SIZE_MAX;
  for (const auto& [literal, number] : literal_numbers_) {
    literals[number] = literal;
    shortest = std::min(shortest, literal.size());
  }
  const bool literals_alone = always_.empty() && equals_.empty() && equals_cased_.empty() &&
                              blocks_.empty() && plain_.empty();
  if (literals_alone) shortest_ = shortest;
  literals_ = LiteralIndex(literals);
  for (const auto& uses : uses_of_) {
    first_use_.push_back(static_cast<uint32_t>(uses_.size()));
    uses_.insert(uses_.end(), uses.begin(), uses.end());
    placed_.push_back(std::any_of(uses.begin(), uses.end(), [](const Use& use) {
      return use.place == Place::kStart || use.place == Place::kEnd;
    }));
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
  // Most long values are of ASCII and pass nothing: a folded copy is made when one is asked for.
  const bool ascii = IsAscii(value);
  MatchValue both{value, {}};
  if (!ascii) both.folded = Fold(value, scratch);
  const auto fold = [&] {
    if (both.folded.empty()) both.folded = Fold(value, scratch);
  };

  passed.assign(always_.begin(), always_.end());
  const auto take_equal = [&passed](const auto& table, std::string_view text) {
    const auto found = table.find(text);
    if (found == table.end()) return;
    passed.insert(passed.end(), found->second.begin(), found->second.end());
  };
  if (!equals_.empty() && (!ascii || value.size() <= longest_equal_)) {
    fold();
    take_equal(equals_, both.folded);
  }
  if (!equals_cased_.empty()) take_equal(equals_cased_, value);
  if (!literals_.empty()) TakeLiterals(both, ascii, scratch, passed);
  if (!blocks_.empty()) {
    const auto in = blocks_.Find(value);
    passed.insert(passed.end(), in.begin(), in.end());
  }
  for (const Test& test : plain_) {
    if (test.matcher->needs_folded()) fold();
    if (test.matcher->Matches(both)) passed.push_back(test.number);
  }
  if (passed.size() < 2) return;
  std::sort(passed.begin(), passed.end());
  passed.erase(std::unique(passed.begin(), passed.end()), passed.end());
}

void FieldIndex::TakeLiterals(const MatchValue& value, bool ascii, MatchScratch& scratch,
                              std::vector<uint32_t>& passed) const {
  if (scratch.seen_.size() < literals_.size()) scratch.seen_.resize(literals_.size(), 0);
  if (++scratch.look_ == 0) {
    std::fill(scratch.seen_.begin(), scratch.seen_.end(), 0);
    scratch.look_ = 1;
  }
  MatchValue both = value;
  const size_t size = ascii ? value.text.size() : value.folded.size();
  const auto want = [&](uint32_t literal) {
    return scratch.seen_[literal] != scratch.look_ || placed_[literal] != 0;
  };
  const auto confirm = [&](const Matcher& matcher) {
    if (matcher.needs_folded() && both.folded.empty()) both.folded = Fold(both.text, scratch);
    return matcher.Matches(both);
  };
  const auto take = [&](uint32_t literal, size_t begin) {
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
          passes = begin + use.matcher->text().size() == size;
          break;
        case Place::kConfirm:
          passes = !again && confirm(*use.matcher);
          break;
      }
      if (passes) passed.push_back(use.number);
    }
  };
  if (ascii) {
    literals_.FindInAnyCase(both.text, take, want);
  } else {
    literals_.Find(both.folded, take, want);
  }
}

}  // namespace yagura::detection
