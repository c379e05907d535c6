#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace yagura::filter {

// What a column's SQL expression yields. Columns are not Nullable; default values are the types'.
enum class ColumnType {
  kString,       // String, also LowCardinality: for string and bytes fields
  kInteger,      // any integer type: for integer and enum fields (the enum's number)
  kFloat,        // Float64
  kBool,         // Bool or UInt8
  kTime,         // DateTime64; keeps the field's precision, or equality differs below it
  kDuration,     // Int64 nanoseconds
  kIp,           // IPv6, IPv4 addresses mapped (::ffff:a.b.c.d), missing is ::
  kStringArray,  // Array(String), for repeated string fields
  kIntegerArray  // Array of an integer type, for repeated integer and enum fields
};

struct Column {
  std::string expression;  // trusted SQL of ours, "src_ip"
  ColumnType type;
};

// How the paths of a schema are spelled in a table.
struct ColumnMap {
  // Core path to column: {"src.ip", {"src_ip", ColumnType::kIp}}.
  std::map<std::string, Column, std::less<>> columns;
  // Keyed field to a String expression in which "$name" stands for the (bound) name:
  // {"fields", "fields_map[$name]"}. Yields '' where there is none of that name.
  std::map<std::string, std::string, std::less<>> keyed;
  // The same for single names that lie elsewhere: {"fields", {{"srcip", "toString(src_ip)"}}}.
  std::map<std::string, std::map<std::string, std::string, std::less<>>, std::less<>> keyed_names;
  // Lower-cased expressions that bare words are looked for in: {"lower(raw)"}.
  std::vector<std::string> search;
  // What skip indexes are made of: String expressions that have a word wherever what is searched
  // has it. Named in the SQL as a hint (indexHint), never evaluated.
  struct SearchIndex {
    std::string expression;
    bool has_ascii = true;  // false: only words with other characters are found there
  };
  std::vector<SearchIndex> search_indexes;  // of each of `search`
  std::vector<SearchIndex> folded_indexes;  // of each of `search_folded`
  // Expressions of folded text ("" where an event has none) that folded words are looked for in.
  std::vector<std::string> search_folded;
  // Parameters are called {prefix}0, {prefix}1, ...
  std::string parameter_prefix = "p";

  // Of keyed_names, else of keyed; null where there is none.
  const std::string* FindKeyed(std::string_view path, std::string_view name) const;
};

// A WHERE expression with ClickHouse parameters, "(src_port = {p0:UInt64})". Values are raw text,
// not yet escaped for the HTTP interface.
struct Sql {
  std::string where;
  std::map<std::string, std::string> parameters;
};

}  // namespace yagura::filter
