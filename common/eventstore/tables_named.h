#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace yagura::eventstore {

// Those of `tables`, names with their database ("yagura.events"), that the statement names.
std::vector<std::string> TablesNamedIn(std::string_view sql,
                                       const std::vector<std::string>& tables);

}  // namespace yagura::eventstore
