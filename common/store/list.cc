#include <algorithm>

#include "fmt/format.h"

#include "common/status/status.h"
#include "common/store/keys.h"
#include "common/store/page_token.h"
#include "common/store/store_impl.h"
#include "common/text/text.h"

// A list walks one index from the page token's place: equality terms of the filter bind the index's
// equality fields, and what the index cannot decide is evaluated on the candidates.
namespace yagura::store {
namespace {

using google::protobuf::Message;

constexpr int kDefaultPageSize = 50;
constexpr int kMaxPageSize = 1000;
constexpr size_t kMaxCandidates = 5000;
constexpr size_t kMinBatch = 64;

// Which sorted set to walk and where in it.
struct Plan {
  const CompiledIndex* index = nullptr;  // null: all ids
  std::string prefix;                    // of the members
  std::string id_prefix;                 // of the id paths, from a parent below the tenant
};

// What the parent says: the tenant and the beginning of the id path.
absl::StatusOr<Location> ParseParent(const CompiledKind& kind, std::string_view parent) {
  const auto& segments = kind.pattern().segments();
  const auto parts = Split(parent, '/');
  Location location;
  bool fits = parts.size() % 2 == 0 && parts.size() < segments.size();
  for (size_t i = 0; fits && i < parts.size(); ++i) {
    if (i % 2 == 0) {
      fits = parts[i] == segments[i];
    } else {
      fits = IsValidId(parts[i]);
      if (i == 1) {
        location.tenant = parts[i];
      } else {
        location.id_path += parts[i];
        location.id_path += '/';
      }
    }
  }
  if (fits) return location;
  return InvalidField("parent", fmt::format("must be a parent of \"{}\", such as \"tenants/acme\"",
                                            kind.pattern().text()));
}

std::string DescribeOrders(const CompiledKind& kind) {
  std::string text = "\"name\"";
  for (const auto& index : kind.indexes()) {
    if (!index.order) continue;
    text += fmt::format(", \"{}\"", index.order->text());
    if (index.equality.empty()) continue;
    std::vector<std::string> fields;
    for (const auto& path : index.equality) fields.push_back(path.text());
    text += fmt::format(" (with a filter that says {} = ...)", Join(fields, ", "));
  }
  return text;
}

absl::StatusOr<Plan> MakePlan(const CompiledKind& kind, const filter::Filter& filter,
                              const OrderBy& order, bool explicit_order, const Location& parent) {
  const auto terms = filter.EqualityTerms();
  const bool by_name = order.field.empty();
  // All ids walk by name, narrowed by a parent below the tenant: better than any index then.
  std::optional<Plan> best;
  size_t best_bound = 0;
  if (by_name) best = Plan{.index = nullptr, .prefix = parent.id_path, .id_prefix = parent.id_path};
  const bool narrow = by_name && !parent.id_path.empty();
  for (const auto& index : kind.indexes()) {
    if (narrow) break;
    const std::string index_order = index.order ? index.order->text() : std::string();
    if ((explicit_order || !by_name) && index_order != order.field) continue;
    auto prefix = index.Prefix(terms);
    if (!prefix || (best && index.equality.size() <= best_bound)) continue;
    best_bound = index.equality.size();
    best = Plan{.index = &index, .prefix = *std::move(prefix), .id_prefix = parent.id_path};
  }
  if (best) return *std::move(best);
  return InvalidField("order_by", fmt::format("cannot order by \"{}\" here; orders of {} are: {}",
                                              order.field, kind.full_kind(), DescribeOrders(kind)));
}

// One walk over a sorted set.
class Walk {
 public:
  Walk(redis::Pool& state, std::string marker_key, std::string key, const std::string& prefix,
       bool descending, std::string position)
      : state_(state),
        marker_key_(std::move(marker_key)),
        key_(std::move(key)),
        descending_(descending),
        low_(prefix.empty() ? "-" : "[" + prefix),
        high_(PrefixEnd(prefix)),
        position_(std::move(position)) {
    high_ = high_.empty() ? "+" : "(" + high_;
  }

  // The next members, and what the index marker says.
  absl::StatusOr<std::pair<std::vector<std::string>, redis::Reply>> Next(size_t count) {
    const std::string limit = std::to_string(count);
    const std::string from = position_.empty() ? (descending_ ? high_ : low_) : "(" + position_;
    const std::vector<redis::Args> commands = {
        {"GET", marker_key_},
        {descending_ ? "ZREVRANGEBYLEX" : "ZRANGEBYLEX", key_, from, descending_ ? low_ : high_,
         "LIMIT", "0", limit}};
    auto replies = state_.Pipeline(commands);
    for (const auto& reply : replies) {
      if (!reply.ok()) return reply.status();
    }
    std::vector<std::string> members;
    for (auto& item : replies[1]->items) members.push_back(std::move(item.text));
    if (!members.empty()) position_ = members.back();
    return std::pair(std::move(members), *std::move(replies[0]));
  }

 private:
  redis::Pool& state_;
  const std::string marker_key_;
  const std::string key_;
  const bool descending_;
  const std::string low_;
  std::string high_;
  std::string position_;  // the last member read
};

}  // namespace

absl::StatusOr<size_t> EffectivePageSize(int page_size) {
  if (page_size < 0) return InvalidField("page_size", "must not be negative");
  return static_cast<size_t>(page_size == 0 ? kDefaultPageSize : std::min(page_size, kMaxPageSize));
}

absl::StatusOr<OrderBy> ParseOrderBy(std::string_view text) {
  OrderBy order;
  std::vector<std::string_view> words;
  for (const auto word : Split(text, ' ')) {
    if (!word.empty()) words.push_back(word);
  }
  if (words.empty()) return order;
  const bool direction_ok = words.size() == 1 || words[1] == "desc" || words[1] == "asc";
  if (words.size() > 2 || !direction_ok || words[0].find(',') != std::string_view::npos) {
    return InvalidField("order_by", "must be one field, and \"desc\" for descending");
  }
  if (words[0] != "name") order.field = words[0];
  order.descending = words.size() == 2 && words[1] == "desc";
  return order;
}

absl::StatusOr<Page<std::unique_ptr<Message>>> ResourceStore::Impl::List(
    const ListQuery& query) const {
  YAGURA_ASSIGN_OR_RETURN(const size_t page_size, EffectivePageSize(query.page_size));
  YAGURA_ASSIGN_OR_RETURN(const Location parent, ParseParent(kind, query.parent));
  YAGURA_ASSIGN_OR_RETURN(const OrderBy order, ParseOrderBy(query.order_by));
  YAGURA_ASSIGN_OR_RETURN(const auto filter,
                          filter::Filter::Parse(query.filter, kind.schema(), clock->Now()));
  const bool explicit_order = !Trim(query.order_by).empty();
  YAGURA_ASSIGN_OR_RETURN(const Plan plan, MakePlan(kind, filter, order, explicit_order, parent));
  const std::string identity = fmt::format(
      "{}\n{}\n{}\n{}\n{}\n{}", kind.full_kind(), kind.kind().index_version, query.parent,
      plan.index != nullptr ? plan.index->name : "", query.order_by, query.filter);
  std::string position;
  if (!query.page_token.empty()) {
    YAGURA_ASSIGN_OR_RETURN(position, DecodePageToken(identity, query.page_token));
    if (!position.starts_with(plan.prefix)) {
      return InvalidField("page_token", "does not belong to this list");
    }
  }
  const std::string& tenant = parent.tenant;
  const std::string key = plan.index == nullptr ? AllIdsKey(kind.kind(), tenant)
                                                : IndexKey(kind.kind(), tenant, plan.index->name,
                                                           kind.kind().index_version);
  Walk walk(*state, IndexMarkerKey(kind.kind(), tenant), key, plan.prefix, order.descending,
            position);
  const auto fits = [&](const Loaded& loaded, const std::string& member, const std::string& id) {
    if (loaded.message == nullptr || !id.starts_with(plan.id_prefix)) return false;
    // Moved between the two reads: it is listed where it is now, or was before.
    if (plan.index != nullptr) {
      const auto members = plan.index->Members(*loaded.message, id);
      if (std::find(members.begin(), members.end(), member) == members.end()) return false;
    }
    return filter.Matches(*loaded.message);
  };

  const OnUnreadable unreadable =
      query.pass_over_unreadable ? [](const std::string&) {} : OnUnreadable();
  Page<std::unique_ptr<Message>> page;
  size_t examined = 0;
  size_t batch = filter.empty() ? page_size + 1 : std::max(kMinBatch, page_size + 1);
  bool checked_marker = plan.index == nullptr;
  while (true) {
    batch = std::min({batch, kMaxCandidates - examined, size_t{kMaxPageSize} + 1});
    YAGURA_ASSIGN_OR_RETURN(auto read, walk.Next(batch));
    const auto& members = read.first;
    if (!checked_marker && !IsCurrent(read.second)) {
      YAGURA_RETURN_IF_ERROR(Reindex(tenant));
      return List(query);
    }
    checked_marker = true;
    std::vector<std::string> ids;
    for (const auto& member : members) ids.emplace_back(IdPathOf(member));
    YAGURA_ASSIGN_OR_RETURN(auto loaded, LoadMany(tenant, ids, unreadable));
    for (size_t i = 0; i < members.size(); ++i) {
      if (!fits(loaded[i], members[i], ids[i])) continue;
      if (page.items.size() == page_size) {
        page.next_page_token = EncodePageToken(identity, position);
        return page;
      }
      page.items.push_back(std::move(loaded[i].message));
      position = members[i];
    }
    if (members.size() < batch) return page;
    examined += members.size();
    if (examined >= kMaxCandidates) {
      page.next_page_token = EncodePageToken(identity, members.back());
      return page;
    }
    batch *= 2;
  }
}

}  // namespace yagura::store
