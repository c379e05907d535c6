#include "services/ticketing/storage/stores.h"

#include "fmt/format.h"

#include "common/redis/pool.h"
#include "common/status/status.h"

namespace yagura::ticketing {
namespace {

store::Kind Kind(const char* kind, const char* pattern, std::vector<store::Index> indexes) {
  store::Kind out;
  out.area = "ticketing";
  out.kind = kind;
  out.pattern = pattern;
  out.indexes = std::move(indexes);
  return out;
}

}  // namespace

absl::StatusOr<int64_t> Stores::NextNumber(std::string_view tenant) const {
  const std::string key = fmt::format("y:{{{}}}:ticketing:last-number", tenant);
  YAGURA_ASSIGN_OR_RETURN(const auto reply, state->Command({"INCR", key}));
  return reply.integer;
}

Stores OpenStores(const std::shared_ptr<redis::Pool>& state,
                  const std::shared_ptr<const Clock>& clock) {
  return {{state,
           Kind("ticket", kTicketPattern,
                {{"by_create", {}, "create_time"},
                 {"by_update", {}, "update_time"},
                 {"by_priority", {}, "priority"},
                 {"by_due", {}, "due_time"},
                 {"by_state", {"state"}, "create_time"},
                 {"by_state_priority", {"state"}, "priority"},
                 {"by_assignee", {"assignee"}, "create_time"},
                 {"by_number", {"number"}, "create_time"},
                 {"by_group", {"group_key"}, "generation"}}),
           clock},
          {state, Kind("comment", kCommentPattern, {}), clock},
          state};
}

}  // namespace yagura::ticketing
