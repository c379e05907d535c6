#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace yagura::config {

// An nftables rule set in one form, near that of `nft list ruleset`, so that texts that say the
// same are the same lines: indentation, line breaks and semicolons, comments, the order of a set's
// elements and of what is said of a set, sets before chains, standard priorities by name or number,
// quotes around names of interfaces, the family ip and the policy accept where none is said, a
// leading "flush ruleset", and what counters had counted. The order of tables, chains and rules,
// and every word else, stays: names of services and other spellings of an address are differences.
//
// Nothing where the text is not understood (unbalanced braces or quotes, nesting beyond 16).
std::optional<std::string> NormalNftText(std::string_view text);

}  // namespace yagura::config
