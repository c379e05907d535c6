#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace yagura::detection {

// What ParseSigma takes as one text, out of a file.
struct RulePart {
  std::string text;
  std::string id;  // in lower case, as it is written: of the rule or the outermost correlation
  std::vector<int> lines;  // which line of the file each is, from 1; empty: the file is one part
  std::string too_much;    // set: the file has too much to be told apart, and of what

  // A refusal (RULE_REFUSED) of this text, told by the lines of the file, or that it is too much.
  absl::Status InFile(const absl::Status& refused) const;
};

// The rules of a file, whose documents are separated by "---": each correlation that no other
// counts with all that it refers to, each other rule and each filter by itself. One part at least;
// what cannot be told apart is one, for ParseSigma to refuse. So is what has more than 1,000
// documents, or whose correlations refer to 20,000 others or to 8 MiB of texts in all.
std::vector<RulePart> SplitRules(std::string_view text);

// RULE_REFUSED: two rules of one import have the same id; the other is of `source`.
absl::Status RefuseSameId(std::string_view id, std::string_view source);

}  // namespace yagura::detection
