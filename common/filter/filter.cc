#include "common/filter/filter.h"

#include "fmt/format.h"
#include "google/protobuf/message.h"

#include "common/filter/evaluate.h"
#include "common/filter/node.h"
#include "common/filter/parser.h"
#include "common/filter/to_sql.h"
#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::filter {
namespace {

void CollectEqualityTerms(const Node& node, std::vector<EqualityTerm>& terms) {
  if (node.type == Node::Type::kAnd) {
    for (const auto& child : node.children) CollectEqualityTerms(*child, terms);
    return;
  }
  const Predicate& predicate = node.predicate;
  if (node.type != Node::Type::kPredicate || predicate.op != Operator::kEqual || predicate.keyed) {
    return;
  }
  switch (predicate.kind) {
    case ValueKind::kString:
      if (predicate.pattern.has_wildcards() || predicate.pattern.ignore_case()) return;
      terms.push_back({predicate.path, predicate.pattern.literal()});
      return;
    case ValueKind::kSigned:
      terms.push_back({predicate.path, fmt::format("{}", predicate.integer)});
      return;
    case ValueKind::kUnsigned:
      terms.push_back({predicate.path, fmt::format("{}", predicate.unsigned_integer)});
      return;
    case ValueKind::kEnum:
      terms.push_back({predicate.path, predicate.text});
      return;
    case ValueKind::kBool:
      terms.push_back({predicate.path, predicate.integer == 1 ? "true" : "false"});
      return;
    default:
      return;
  }
}

}  // namespace

Filter::Filter() = default;

absl::StatusOr<Filter> Filter::Parse(std::string_view text, const Schema& schema,
                                     std::optional<TimePoint> now) {
  if (text.size() > kMaxLength) {
    return InvalidField(
        "filter", fmt::format("at position {}: longer than {} bytes", kMaxLength + 1, kMaxLength));
  }
  if (!IsValidUtf8(text)) return InvalidField("filter", "at position 1: not valid UTF-8");
  Filter filter;
  filter.text_ = text;
  YAGURA_ASSIGN_OR_RETURN(filter.root_, ParseExpression(text, schema, now));
  return filter;
}

bool Filter::Matches(const google::protobuf::Message& message) const {
  return root_ == nullptr || Evaluate(*root_, message);
}

absl::StatusOr<Sql> Filter::ToSql(const ColumnMap& columns) const {
  if (root_ == nullptr) return Sql{"(1)", {}};
  return CompileToSql(*root_, columns);
}

std::vector<EqualityTerm> Filter::EqualityTerms() const {
  std::vector<EqualityTerm> terms;
  if (root_ != nullptr) CollectEqualityTerms(*root_, terms);
  return terms;
}

}  // namespace yagura::filter
