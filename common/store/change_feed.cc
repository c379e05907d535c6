#include "common/store/change_feed.h"

#include <algorithm>
#include <map>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/redis/pool.h"
#include "common/status/status.h"
#include "common/store/feed_entry.h"
#include "common/store/keys.h"
#include "common/store/resource_name.h"
#include "common/text/text.h"

namespace yagura::store {
namespace {

constexpr size_t kMaxRecords = 10'000;
constexpr size_t kMaxTextBytes = 4096;

// KEYS: sequence, feed. ARGV: records. Sent whole each time: it is short, and a pipeline cannot
// fall back from EVALSHA.
constexpr std::string_view kAppendScript = R"lua(
for i = 1, #ARGV do
  local sequence = redis.call('INCR', KEYS[1])
  redis.call('XADD', KEYS[2], string.format('%.0f', sequence) .. '-0', 'r', ARGV[i])
end
return #ARGV)lua";

void Shorten(std::string& text) {
  if (text.size() > kMaxTextBytes) text = ToValidUtf8(text.substr(0, kMaxTextBytes));
}

}  // namespace

std::optional<uint64_t> SequenceOfId(std::string_view id) {
  return ParseNumber<uint64_t>(id.substr(0, id.find('-')));
}

absl::StatusOr<audit::v1::Record> ParseFeedEntry(const redis::Reply& entry,
                                                 std::string_view tenant) {
  audit::v1::Record record;
  const bool shaped = entry.items.size() == 2 && entry.items[1].items.size() >= 2;
  const auto sequence = shaped ? SequenceOfId(entry.items[0].text) : std::nullopt;
  if (!sequence || !record.ParseFromString(entry.items[1].items[1].text)) {
    return MakeError(absl::StatusCode::kDataLoss, "CHANGE_RECORD_UNREADABLE",
                     fmt::format("a change record of tenant {} cannot be parsed", tenant));
  }
  record.set_sequence(*sequence);
  record.set_tenant(std::string(tenant));
  return record;
}

absl::Status AppendRecords(redis::Pool& state, const std::vector<audit::v1::Record>& records) {
  if (records.empty()) return absl::OkStatus();
  std::map<std::string, std::vector<std::string>> by_tenant;
  for (audit::v1::Record record : records) {
    if (!IsValidId(record.tenant())) {
      return InvalidField("tenant", "a record belongs to one tenant, by its id");
    }
    if (!record.has_time()) *record.mutable_time() = ToProto(SystemClock()->Now());
    record.clear_sequence();
    Shorten(*record.mutable_detail());
    Shorten(*record.mutable_resource());
    by_tenant[record.tenant()].push_back(record.SerializeAsString());
  }
  std::vector<std::string> keys;
  keys.reserve(by_tenant.size() * 2);
  std::vector<redis::Args> commands;
  for (const auto& [tenant, texts] : by_tenant) {
    keys.push_back(SequenceKey(tenant));
    keys.push_back(FeedKey(tenant));
    redis::Args command = {"EVAL", kAppendScript, "2", keys[keys.size() - 2], keys.back()};
    command.insert(command.end(), texts.begin(), texts.end());
    commands.push_back(std::move(command));
  }
  for (const auto& reply : state.Pipeline(commands)) YAGURA_RETURN_IF_ERROR(reply.status());
  return absl::OkStatus();
}

absl::StatusOr<std::vector<audit::v1::Record>> ReadRecords(redis::Pool& state,
                                                           std::string_view tenant,
                                                           uint64_t after_sequence, size_t limit) {
  std::vector<audit::v1::Record> records;
  if (limit == 0 || after_sequence == UINT64_MAX) return records;
  const std::string from = fmt::format("{}-0", after_sequence + 1);
  const std::string count = std::to_string(std::min(limit, kMaxRecords));
  YAGURA_ASSIGN_OR_RETURN(const auto reply,
                          state.Command({"XRANGE", FeedKey(tenant), from, "+", "COUNT", count}));
  records.reserve(reply.items.size());
  for (const auto& entry : reply.items) {
    YAGURA_ASSIGN_OR_RETURN(auto record, ParseFeedEntry(entry, tenant));
    records.push_back(std::move(record));
  }
  return records;
}

absl::Status TrimRecords(redis::Pool& state, std::string_view tenant, uint64_t up_to_sequence) {
  if (up_to_sequence == UINT64_MAX) return InvalidField("up_to_sequence", "is out of range");
  const std::string first_kept = fmt::format("{}-0", up_to_sequence + 1);
  return state.Command({"XTRIM", FeedKey(tenant), "MINID", first_kept}).status();
}

}  // namespace yagura::store
