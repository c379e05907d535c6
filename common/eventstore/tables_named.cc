#include "common/eventstore/tables_named.h"

#include <algorithm>
#include <iterator>

namespace yagura::eventstore {
namespace {

bool IsPartOfName(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

bool Names(std::string_view sql, std::string_view table) {
  for (size_t at = sql.find(table); at != std::string_view::npos; at = sql.find(table, at + 1)) {
    const size_t end = at + table.size();
    if ((at == 0 || !IsPartOfName(sql[at - 1])) && (end == sql.size() || !IsPartOfName(sql[end]))) {
      return true;
    }
  }
  return false;
}

}  // namespace

std::vector<std::string> TablesNamedIn(std::string_view sql,
                                       const std::vector<std::string>& tables) {
  std::vector<std::string> named;
  std::copy_if(tables.begin(), tables.end(), std::back_inserter(named),
               [sql](const std::string& table) { return Names(sql, table); });
  return named;
}

}  // namespace yagura::eventstore
