#include <algorithm>

#include "fmt/format.h"

#include "common/redis/script.h"
#include "common/status/status.h"
#include "common/store/keys.h"
#include "common/store/store_impl.h"

// Rebuilds a tenant's index entries after `index_version` changed, up or down. While it runs the
// marker is "<version>:<token>"; writers of another version turn it to "dirty", and the job begins
// again. A job that died is taken up at its cursor by the next one.
namespace yagura::store {
namespace {

constexpr size_t kBatch = 200;
constexpr int kMaxRounds = 5;

// KEYS: index keys, then the resources. ARGV: number of index keys, index version in hex, number of
// resources, then for each: etag, number of entries, and its entries (index of key, member).
// Answers how many had changed since they were read.
constexpr std::string_view kScript = R"lua(
local indexes, version = tonumber(ARGV[1]), ARGV[2]
local at, changed = 4, 0
for r = 1, tonumber(ARGV[3]) do
  local key = KEYS[indexes + r]
  local etag, entries = ARGV[at], tonumber(ARGV[at + 1])
  at = at + 2
  if redis.call('GETRANGE', key, 6, 21) == etag then
    for i = 1, entries do
      redis.call('ZADD', KEYS[tonumber(ARGV[at])], 0, ARGV[at + 1])
      at = at + 2
    end
    redis.call('SETRANGE', key, 2, version)
  else
    changed = changed + 1
    at = at + 2 * entries
  end
end
return changed
)lua";

// Sets the marker where it still has the value that the job gave it.
constexpr std::string_view kFinishScript = R"lua(
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
redis.call('DEL', KEYS[2])
return 1
)lua";

}  // namespace

absl::Status IndexContended(const CompiledKind& kind) {
  return Unavailable(
      "REINDEX_CONTENDED",
      fmt::format("the indexes of {} change under two versions of the program", kind.full_kind()));
}

bool ResourceStore::Impl::IsCurrent(const redis::Reply& marker) const {
  return marker.is_nil() || marker.text == std::to_string(kind.kind().index_version);
}

absl::Status ResourceStore::Impl::Reindex(const std::string& tenant) const {
  static const redis::Script kMove(kScript);
  static const redis::Script kFinish(kFinishScript);
  const std::string marker_key = IndexMarkerKey(kind.kind(), tenant);
  const std::string cursor_key = ReindexCursorKey(kind.kind(), tenant);
  const std::string all_key = AllIdsKey(kind.kind(), tenant);
  const std::string version = std::to_string(kind.kind().index_version);
  const std::string hex = fmt::format("{:04x}", kind.kind().index_version);
  const std::vector<std::string> index_keys = IndexKeys(tenant);
  for (int round = 0; round < kMaxRounds; ++round) {
    YAGURA_ASSIGN_OR_RETURN(const auto marker, state->Command({"GET", marker_key}));
    if (IsCurrent(marker)) return absl::OkStatus();
    std::string token = marker.text;
    std::string from = "-";
    if (token.starts_with(version + ":")) {
      YAGURA_ASSIGN_OR_RETURN(const auto cursor, state->Command({"GET", cursor_key}));
      if (!cursor.is_nil()) from = "(" + cursor.text;
    } else {
      token = fmt::format("{}:{}", version, NewEtag());
      std::vector<redis::Args> begin = {{"SET", marker_key, token}, {"DEL", cursor_key}};
      for (const auto& key : index_keys) begin.push_back({"UNLINK", key});
      for (const auto& reply : state->Pipeline(begin)) YAGURA_RETURN_IF_ERROR(reply.status());
      YAGURA_RETURN_IF_ERROR(RegisterIndexes(tenant));
    }
    while (true) {
      YAGURA_ASSIGN_OR_RETURN(auto reply, state->Command({"ZRANGEBYLEX", all_key, from, "+",
                                                          "LIMIT", "0", std::to_string(kBatch)}));
      std::vector<std::string> ids;
      for (auto& item : reply.items) ids.push_back(std::move(item.text));
      if (ids.empty()) break;
      // One that cannot be parsed has no entries, and keeps no other from having its own.
      YAGURA_ASSIGN_OR_RETURN(const auto loaded, LoadMany(tenant, ids, [](const std::string&) {}));
      std::vector<std::string> keys = index_keys;
      std::vector<std::string> args = {std::to_string(index_keys.size()), hex, {}};
      size_t resources = 0;
      for (size_t i = 0; i < ids.size(); ++i) {
        if (loaded[i].message == nullptr) continue;
        ++resources;
        keys.push_back(DataKey(kind.kind(), tenant, ids[i]));
        const Location location{.tenant = tenant, .id_path = ids[i]};
        const auto entries = Entries(location, *loaded[i].message);
        args.push_back(loaded[i].etag);
        args.push_back(std::to_string(entries.size()));
        for (const auto& [key, member] : entries) {
          const auto at = std::find(index_keys.begin(), index_keys.end(), key);
          args.push_back(std::to_string(at - index_keys.begin() + 1));
          args.push_back(member);
        }
      }
      args[2] = std::to_string(resources);
      {
        YAGURA_ASSIGN_OR_RETURN(auto lease, state->Acquire());
        YAGURA_ASSIGN_OR_RETURN(const auto changed,
                                kMove.Run(*lease, redis::Args(keys.begin(), keys.end()),
                                          redis::Args(args.begin(), args.end())));
        // A writer of this version has made the entries itself; another one has left the marker
        // dirty. Either way there is nothing to repeat here.
        static_cast<void>(changed);
      }
      from = "(" + ids.back();
      YAGURA_RETURN_IF_ERROR(state->Command({"SET", cursor_key, ids.back()}).status());
    }
    int64_t done = 0;
    {
      YAGURA_ASSIGN_OR_RETURN(auto lease, state->Acquire());
      YAGURA_ASSIGN_OR_RETURN(const auto reply,
                              kFinish.Run(*lease, {marker_key, cursor_key}, {token, version}));
      done = reply.integer;
    }
    if (done == 1) return DropOtherIndexes(tenant);
  }
  return IndexContended(kind);
}

absl::Status ResourceStore::Impl::DropOtherIndexes(const std::string& tenant) const {
  const std::string set = IndexKeysKey(kind.kind(), tenant);
  const auto own = IndexKeys(tenant);
  YAGURA_ASSIGN_OR_RETURN(const auto known, state->Command({"SMEMBERS", set}));
  for (const auto& key : known.items) {
    if (std::find(own.begin(), own.end(), key.text) != own.end()) continue;
    YAGURA_RETURN_IF_ERROR(state->Command({"UNLINK", key.text}).status());
    YAGURA_RETURN_IF_ERROR(state->Command({"SREM", set, key.text}).status());
  }
  return absl::OkStatus();
}

absl::Status ResourceStore::Reindex() const {
  YAGURA_ASSIGN_OR_RETURN(const auto tenants, ListTenants(*impl_->state));
  for (const auto& tenant : tenants) YAGURA_RETURN_IF_ERROR(impl_->Reindex(tenant));
  return absl::OkStatus();
}

}  // namespace yagura::store
