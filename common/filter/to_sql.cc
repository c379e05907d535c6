#include "common/filter/to_sql.h"

#include <arpa/inet.h>

#include "fmt/format.h"

#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::filter {
namespace {

std::string_view Symbol(Operator op) {
  switch (op) {
    case Operator::kLess:
      return "<";
    case Operator::kLessEqual:
      return "<=";
    case Operator::kGreater:
      return ">";
    case Operator::kGreaterEqual:
      return ">=";
    default:
      return "=";
  }
}

// As IPv6 text, mapped where it is IPv4.
std::string Ipv6Text(const IpBytes& ip) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  inet_ntop(AF_INET6, ip.data(), text.data(), text.size());
  return text.data();
}

bool Fits(const Predicate& predicate, ColumnType type) {
  if (predicate.repeated) {
    switch (predicate.kind) {
      case ValueKind::kString:
        return type == ColumnType::kStringArray;
      case ValueKind::kSigned:
      case ValueKind::kUnsigned:
      case ValueKind::kEnum:
        return type == ColumnType::kIntegerArray;
      case ValueKind::kOtherType:
        return type == ColumnType::kStringArray || type == ColumnType::kIntegerArray;
      default:
        return false;
    }
  }
  switch (predicate.kind) {
    case ValueKind::kString:
      return type == ColumnType::kString;
    case ValueKind::kSigned:
    case ValueKind::kUnsigned:
    case ValueKind::kEnum:
      return type == ColumnType::kInteger;
    case ValueKind::kFloat:
      return type == ColumnType::kFloat;
    case ValueKind::kBool:
      return type == ColumnType::kBool;
    case ValueKind::kTime:
      return type == ColumnType::kTime;
    case ValueKind::kDuration:
      return type == ColumnType::kDuration;
    case ValueKind::kIp:
      return type == ColumnType::kIp;
    case ValueKind::kOtherType:
      return false;
  }
  return false;
}

class Compiler {
 public:
  explicit Compiler(const ColumnMap& columns) : columns_(columns) {}

  absl::StatusOr<Sql> Run(const Node& root) {
    YAGURA_ASSIGN_OR_RETURN(std::string where, Compile(root));
    return Sql{std::move(where), std::move(parameters_)};
  }

 private:
  absl::StatusOr<std::string> Compile(const Node& node) {
    switch (node.type) {
      case Node::Type::kAnd:
        return Combined(node, " AND ");
      case Node::Type::kOr:
        return Combined(node, " OR ");
      case Node::Type::kNot: {
        YAGURA_ASSIGN_OR_RETURN(const std::string child, Compile(*node.children.front()));
        return fmt::format("(NOT {})", child);
      }
      case Node::Type::kPredicate:
        return One(node.predicate);
      case Node::Type::kSearch:
        return Search(node.search);
    }
    return Internal("unknown filter node");
  }

  absl::StatusOr<std::string> Combined(const Node& node, std::string_view joint) {
    std::vector<std::string> parts;
    for (const auto& child : node.children) {
      YAGURA_ASSIGN_OR_RETURN(std::string part, Compile(*child));
      parts.push_back(std::move(part));
    }
    return fmt::format("({})", Join(parts, joint));
  }

  absl::StatusOr<std::string> Search(const SearchTerm& search) {
    if (columns_.search.empty()) return NotSearchable("a bare word");
    std::vector<std::string> parts;
    for (const auto& expression : columns_.search)
      parts.push_back(Indexed(search.pattern, expression, columns_.search_indexes));
    if (search.folds_to_ascii) {
      for (const auto& expression : columns_.search)
        parts.push_back(Indexed(search.folded, expression, columns_.search_indexes));
    }
    for (const auto& expression : columns_.search_folded) {
      parts.push_back(fmt::format("({} != '' AND {})", expression,
                                  Indexed(search.folded, expression, columns_.folded_indexes)));
    }
    return fmt::format("({})", Join(parts, " OR "));
  }

  absl::StatusOr<std::string> One(const Predicate& predicate) {
    if (predicate.keyed) return Keyed(predicate);
    const auto found = columns_.columns.find(predicate.path);
    if (found == columns_.columns.end() || !Fits(predicate, found->second.type)) {
      return NotSearchable(predicate.path);
    }
    const std::string& column = found->second.expression;
    return predicate.repeated ? Repeated(predicate, column) : Singular(predicate, column);
  }

  absl::StatusOr<std::string> Keyed(const Predicate& predicate) {
    const std::string* found = columns_.FindKeyed(predicate.path, predicate.key);
    if (found == nullptr) return NotSearchable(predicate.path);
    std::string expression = *found;
    const std::string name = Bind(predicate.key, "String");
    for (size_t at = expression.find("$name"); at != std::string::npos;
         at = expression.find("$name", at + name.size())) {
      expression.replace(at, 5, name);
    }
    const bool as_number = predicate.op != Operator::kEqual &&
                           predicate.op != Operator::kContains &&
                           predicate.op != Operator::kPresent;
    if (!as_number) return Text(predicate, expression);
    return fmt::format("(match({0}, '^-?[0-9]{{1,18}}$') AND toInt64OrZero({0}) {1} {2})",
                       expression, Symbol(predicate.op),
                       Bind(fmt::format("{}", predicate.integer), "Int64"));
  }

  std::string Singular(const Predicate& predicate, const std::string& column) {
    switch (predicate.kind) {
      case ValueKind::kString:
        return Text(predicate, column);
      case ValueKind::kIp:
        return Ip(predicate, column);
      case ValueKind::kTime:
        return Time(predicate, column);
      case ValueKind::kUnsigned:
        return Number(predicate, column, fmt::format("{}", predicate.unsigned_integer), "UInt64");
      case ValueKind::kFloat:
        return Number(predicate, column, fmt::format("{}", predicate.number), "Float64");
      case ValueKind::kBool:
        return Number(predicate, column, fmt::format("{}", predicate.integer), "UInt8");
      default:
        return Number(predicate, column, fmt::format("{}", predicate.integer), "Int64");
    }
  }

  // LIKE with one literal can use an index; other patterns are left to match, since LIKE goes by
  // UTF-8 characters there and log lines need not be UTF-8.
  std::string Anywhere(const Pattern& pattern, const std::string& expression) {
    if (!pattern.has_wildcards()) {
      return fmt::format("({} LIKE {})", expression, Bind(pattern.ToLike(), "String"));
    }
    return fmt::format("(match({}, {}))", expression, Bind(pattern.ToRegex(), "String"));
  }

  // The same, with what tells the store which index to skip by.
  std::string Indexed(const Pattern& pattern, const std::string& expression,
                      const std::vector<ColumnMap::SearchIndex>& indexes) {
    std::string sql = Anywhere(pattern, expression);
    if (pattern.has_wildcards()) return sql;
    std::string hints;
    for (const auto& index : indexes) {
      if (!index.has_ascii && pattern.IsAscii()) continue;
      hints += fmt::format(" AND indexHint({})", Anywhere(pattern, index.expression));
    }
    return hints.empty() ? sql : fmt::format("({}{})", sql, hints);
  }

  std::string Whole(const Pattern& pattern, const std::string& expression) {
    if (!pattern.has_wildcards()) {
      return fmt::format("({} = {})", expression, Bind(pattern.literal(), "String"));
    }
    if (pattern.is_prefix()) {
      return fmt::format("(startsWith({}, {}))", expression, Bind(pattern.first_part(), "String"));
    }
    if (pattern.is_suffix()) {
      return fmt::format("(endsWith({}, {}))", expression, Bind(pattern.last_part(), "String"));
    }
    return fmt::format("(match({}, {}))", expression, Bind(pattern.ToRegex(), "String"));
  }

  // Case and width do not count: in what is ASCII by lower alone, which is cheap.
  std::string Folded(const Predicate& predicate, const std::string& column) {
    const auto matches = [&](const Pattern& pattern, const std::string& expression) {
      return predicate.op == Operator::kContains ? Anywhere(pattern, expression)
                                                 : Whole(pattern, expression);
    };
    const std::string lower = fmt::format("lower({})", column);
    std::string sql = matches(predicate.pattern, lower);
    if (predicate.folds_to_ascii) sql += " OR " + matches(predicate.folded, lower);
    // Characters beyond ASCII take several bytes.
    return fmt::format("({} OR (length({}) != lengthUTF8({}) AND {}))", sql, column, column,
                       matches(predicate.folded, FoldSql(column)));
  }

  // As Fold (common/text/fold.h) but that bytes which are not UTF-8 become U+FFFD, since ICU
  // refuses them.
  static std::string FoldSql(const std::string& column) {
    return fmt::format("normalizeUTF8NFKC(caseFoldUTF8(normalizeUTF8NFKC(toValidUTF8({}))))",
                       column);
  }

  std::string Text(const Predicate& predicate, const std::string& column) {
    switch (predicate.op) {
      case Operator::kPresent:
        return fmt::format("({} != '')", column);
      case Operator::kContains:
      case Operator::kEqual:
        return predicate.pattern.ignore_case() ? Folded(predicate, column)
                                               : Whole(predicate.pattern, column);
      default:
        return fmt::format("({} {} {})", column, Symbol(predicate.op),
                           Bind(predicate.text, "String"));
    }
  }

  std::string Ip(const Predicate& predicate, const std::string& column) {
    const std::string missing = "toIPv6('::')";
    if (predicate.op == Operator::kPresent) return fmt::format("({} != {})", column, missing);
    const std::string low = Bind(Ipv6Text(predicate.low), "IPv6");
    if (predicate.op != Operator::kEqual) {
      return fmt::format("({0} != {1} AND {0} {2} {3})", column, missing, Symbol(predicate.op),
                         low);
    }
    if (predicate.low == predicate.high) {
      return fmt::format("({0} != {1} AND {0} = {2})", column, missing, low);
    }
    return fmt::format("({0} != {1} AND {0} >= {2} AND {0} <= {3})", column, missing, low,
                       Bind(Ipv6Text(predicate.high), "IPv6"));
  }

  std::string Time(const Predicate& predicate, const std::string& column) {
    const std::string present = fmt::format("{} != fromUnixTimestamp64Nano(toInt64(0))", column);
    if (predicate.op == Operator::kPresent) return fmt::format("({})", present);
    return fmt::format("({} AND {} {} fromUnixTimestamp64Nano({}))", present, column,
                       Symbol(predicate.op), Bind(fmt::format("{}", predicate.integer), "Int64"));
  }

  std::string Number(const Predicate& predicate, const std::string& column, std::string value,
                     std::string_view type) {
    if (predicate.op == Operator::kPresent) return fmt::format("({} != 0)", column);
    return fmt::format("({} {} {})", column, Symbol(predicate.op), Bind(std::move(value), type));
  }

  std::string Repeated(const Predicate& predicate, const std::string& column) {
    if (predicate.op == Operator::kPresent) return fmt::format("(notEmpty({}))", column);
    if (predicate.kind == ValueKind::kString) {
      return fmt::format("(arrayExists(x -> {}, {}))", Whole(predicate.pattern, "x"), column);
    }
    const bool is_unsigned = predicate.kind == ValueKind::kUnsigned;
    return fmt::format("(has({}, {}))", column,
                       is_unsigned ? Bind(fmt::format("{}", predicate.unsigned_integer), "UInt64")
                                   : Bind(fmt::format("{}", predicate.integer), "Int64"));
  }

  // "{p0:String}", bound to `value`.
  std::string Bind(std::string value, std::string_view type) {
    std::string name = fmt::format("{}{}", columns_.parameter_prefix, parameters_.size());
    std::string reference = fmt::format("{{{}:{}}}", name, type);
    parameters_.emplace(std::move(name), std::move(value));
    return reference;
  }

  static Status NotSearchable(std::string_view what) {
    return MakeError(absl::StatusCode::kInvalidArgument, "FILTER_NOT_SEARCHABLE",
                     fmt::format("filter: {} cannot be searched by here", what),
                     {{"field", std::string(what)}});
  }

  const ColumnMap& columns_;
  std::map<std::string, std::string> parameters_;
};

}  // namespace

const std::string* ColumnMap::FindKeyed(std::string_view path, std::string_view name) const {
  if (const auto names = keyed_names.find(path); names != keyed_names.end()) {
    if (const auto it = names->second.find(name); it != names->second.end()) return &it->second;
  }
  const auto it = keyed.find(path);
  return it == keyed.end() ? nullptr : &it->second;
}

absl::StatusOr<Sql> CompileToSql(const Node& root, const ColumnMap& columns) {
  return Compiler(columns).Run(root);
}

}  // namespace yagura::filter
