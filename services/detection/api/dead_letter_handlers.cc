#include "services/detection/api/dead_letter_handlers.h"

#include <algorithm>
#include <limits>
#include <set>
#include <tuple>
#include <utility>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/filter/filter.h"
#include "common/rpc/call.h"
#include "common/rpc/service_registry.h"
#include "common/status/status.h"
#include "common/store/page_token.h"
#include "common/store/resource_name.h"
#include "common/store/store.h"
#include "common/text/text.h"
#include "services/detection/domain/dead_letter.h"
#include "services/detection/domain/rule_resource.h"

namespace yagura::detection {
namespace {

constexpr int kDefaultPage = 50;
constexpr int kLargestPage = 1000;
constexpr int kMaxCandidates = 1000;  // read for one page; their payloads may be large
constexpr int kChunk = 16;            // of one shard at a time

// "tenants/acme/deadLetters/events-0-1700000000000-3".
std::string NameOf(std::string_view tenant, const stream::Topic& topic, int shard,
                   stream::EntryId id) {
  return fmt::format("tenants/{}/deadLetters/{}-{}-{}", tenant, topic.name, shard, id.ToString());
}

v1::DeadLetter Describe(const DeadLetter& letter, std::string_view tenant,
                        const stream::Topic& topic, int shard) {
  v1::DeadLetter told;
  told.set_name(NameOf(tenant, topic, shard, letter.id));
  *told.mutable_create_time() =
      ToProto(TimePoint(std::chrono::milliseconds(letter.id.milliseconds)));
  told.set_topic(topic.name);
  told.set_shard(shard);
  told.set_entry_id(ToValidUtf8(letter.entry));
  told.set_reader(ToValidUtf8(letter.reader));
  told.set_key(ToValidUtf8(letter.key));
  told.set_error(ToValidUtf8(letter.error));
  told.set_payload_bytes(static_cast<int64_t>(letter.payload.size()));
  return told;
}

// Whose a letter is, among tenants that exist.
class Owners {
 public:
  explicit Owners(std::vector<std::string> tenants)
      : tenants_(std::make_move_iterator(tenants.begin()), std::make_move_iterator(tenants.end())) {
  }
  std::string OwnerOf(const stream::Topic& topic, const DeadLetter& letter) const {
    const auto tenant = TenantOfLetter(topic.name, letter.payload);
    return tenant && tenants_.contains(*tenant) ? *tenant : std::string(kProviderTenant);
  }

 private:
  std::set<std::string> tenants_;
};

// All letters of some shards, the latest first, read bit by bit.
class Walk {
 public:
  struct Item {
    const stream::Topic* topic;
    int shard;
    DeadLetter letter;
    // Ids of two shards may be the same: topic and shard decide.
    auto Order() const { return std::tuple(letter.id, std::string_view(topic->name), shard); }
  };
  Walk(const DeadLetters& letters, const std::vector<stream::Topic>& topics) : letters_(letters) {
    for (const auto& topic : topics) {
      for (int shard = 0; shard < topic.shards; ++shard) sources_.push_back({&topic, shard, {}});
    }
  }

  // Behind what a page ended with: "<id> <topic> <shard>".
  Status Seek(std::string_view position) {
    const auto words = Split(position, ' ');
    const auto id = words.size() == 3 ? stream::EntryId::Parse(words[0]) : std::nullopt;
    const auto shard = words.size() == 3 ? ParseNumber<int>(words[2]) : std::nullopt;
    if (!id || !shard) return InvalidField("page_token", "is not one of ours");
    for (Source& source : sources_) {
      source.before = *id;
      // Of the same id those of lower topic and shard are still to come.
      if (std::pair<std::string_view, int>(source.topic->name, source.shard) <
          std::pair<std::string_view, int>(words[1], *shard)) {
        ++source.before.sequence;
      }
    }
    return absl::OkStatus();
  }
  static std::string PositionOf(const Item& item) {
    return fmt::format("{} {} {}", item.letter.id.ToString(), item.topic->name, item.shard);
  }

  // Nothing at the end.
  StatusOr<std::optional<Item>> Next() {
    Source* latest = nullptr;
    for (Source& source : sources_) {
      YAGURA_RETURN_IF_ERROR(Fill(source));
      if (source.ahead.empty()) continue;
      if (latest == nullptr || latest->ahead.back().Order() < source.ahead.back().Order()) {
        latest = &source;
      }
    }
    if (latest == nullptr) return std::optional<Item>();
    std::optional<Item> item = std::move(latest->ahead.back());
    latest->ahead.pop_back();
    return item;
  }

 private:
  struct Source {
    const stream::Topic* topic;
    int shard;
    std::vector<Item> ahead;  // the latest at the end
    stream::EntryId before{std::numeric_limits<uint64_t>::max(), 0};
    bool ended = false;
  };
  Status Fill(Source& source) const {
    if (!source.ahead.empty() || source.ended) return absl::OkStatus();
    YAGURA_ASSIGN_OR_RETURN(auto letters,
                            letters_.ReadBack(*source.topic, source.shard, source.before, kChunk));
    source.ended = letters.size() < kChunk;
    if (!letters.empty()) source.before = letters.back().id;
    for (auto letter = letters.rbegin(); letter != letters.rend(); ++letter) {
      source.ahead.push_back({source.topic, source.shard, std::move(*letter)});
    }
    return absl::OkStatus();
  }

  const DeadLetters& letters_;
  std::vector<Source> sources_;
};

Status NoSuch(const std::string& name) { return NotFound(name); }

}  // namespace

DeadLetterHandlers::DeadLetterHandlers(std::shared_ptr<redis::Pool> flow,
                                       std::shared_ptr<redis::Pool> state,
                                       std::vector<stream::Topic> topics)
    : letters_(std::move(flow)), state_(std::move(state)), topics_(std::move(topics)) {}

void DeadLetterHandlers::Register(rpc::ServiceRegistry& registry) {
  registry.Unary<v1::ListDeadLettersRequest, v1::ListDeadLettersResponse>(
      "/yagura.detection.v1.DetectionService/ListDeadLetters",
      [this](const auto& call, const auto& request) { return List(call, request); });
  registry.Unary<v1::GetDeadLetterRequest, v1::DeadLetter>(
      "/yagura.detection.v1.DetectionService/GetDeadLetter",
      [this](const auto& call, const auto& request) { return Get(call, request); });
  registry.Unary<v1::DeleteDeadLetterRequest, v1::DeleteDeadLetterResponse>(
      "/yagura.detection.v1.DetectionService/DeleteDeadLetter",
      [this](const auto& call, const auto& request) { return Delete(call, request); });
}

absl::StatusOr<v1::ListDeadLettersResponse> DeadLetterHandlers::List(
    const rpc::Call& call, const v1::ListDeadLettersRequest& request) const {
  if (!request.order_by().empty() && request.order_by() != "create_time desc") {
    return InvalidField("order_by", "knows \"create_time desc\" alone");
  }
  if (request.page_size() < 0) return InvalidField("page_size", "is negative");
  const int wanted =
      request.page_size() == 0 ? kDefaultPage : std::min(request.page_size(), kLargestPage);
  filter::Schema schema(v1::DeadLetter::descriptor());
  schema.Search("error");
  YAGURA_ASSIGN_OR_RETURN(const auto filter,
                          filter::Filter::Parse(request.filter(), schema, SystemClock()->Now()));
  YAGURA_ASSIGN_OR_RETURN(auto tenants, store::ListTenants(*state_));
  const Owners owners(std::move(tenants));
  const auth::TenantSet scope = call.scope();
  const std::string query = fmt::format("{}\n{}", request.parent(), request.filter());
  Walk walk(letters_, topics_);
  if (!request.page_token().empty()) {
    YAGURA_ASSIGN_OR_RETURN(const std::string position,
                            store::DecodePageToken(query, request.page_token()));
    YAGURA_RETURN_IF_ERROR(walk.Seek(position));
  }
  v1::ListDeadLettersResponse response;
  for (int candidates = 1;; ++candidates) {
    YAGURA_ASSIGN_OR_RETURN(const auto item, walk.Next());
    if (!item) return response;
    const std::string owner = owners.OwnerOf(*item->topic, item->letter);
    if (scope.Contains(owner)) {
      v1::DeadLetter told = Describe(item->letter, owner, *item->topic, item->shard);
      if (filter.Matches(told)) *response.add_dead_letters() = std::move(told);
    }
    if (response.dead_letters_size() == wanted || candidates == kMaxCandidates) {
      response.set_next_page_token(store::EncodePageToken(query, Walk::PositionOf(*item)));
      return response;
    }
  }
}

// The place that a name tells, once its letter is that tenant's.
absl::StatusOr<DeadLetterHandlers::Place> DeadLetterHandlers::Find(const std::string& name,
                                                                   DeadLetter* letter) const {
  const auto words = Split(store::LastId(name), '-');
  const auto topic = std::find_if(topics_.begin(), topics_.end(), [&words](const auto& known) {
    return words.size() == 4 && known.name == words[0];
  });
  if (topic == topics_.end()) return NoSuch(name);
  const auto shard = ParseNumber<int>(words[1]);
  const auto id = stream::EntryId::Parse(fmt::format("{}-{}", words[2], words[3]));
  if (!shard || *shard < 0 || *shard >= topic->shards || !id) return NoSuch(name);
  YAGURA_ASSIGN_OR_RETURN(auto found, letters_.Get(*topic, *shard, *id));
  if (!found) return NoSuch(name);
  YAGURA_ASSIGN_OR_RETURN(auto tenants, store::ListTenants(*state_));
  const std::string owner = Owners(std::move(tenants)).OwnerOf(*topic, *found);
  if (name != NameOf(owner, *topic, *shard, *id)) return NoSuch(name);
  *letter = *std::move(found);
  return Place{&*topic, *shard, *id};
}

absl::StatusOr<v1::DeadLetter> DeadLetterHandlers::Get(
    const rpc::Call&, const v1::GetDeadLetterRequest& request) const {
  DeadLetter letter;
  YAGURA_ASSIGN_OR_RETURN(const Place place, Find(request.name(), &letter));
  v1::DeadLetter told =
      Describe(letter, store::TenantOf(request.name()).value_or(""), *place.topic, place.shard);
  AddEventsOfLetter(place.topic->name, letter.payload, told);
  return told;
}

absl::StatusOr<v1::DeleteDeadLetterResponse> DeadLetterHandlers::Delete(
    const rpc::Call&, const v1::DeleteDeadLetterRequest& request) const {
  DeadLetter letter;
  YAGURA_ASSIGN_OR_RETURN(const Place place, Find(request.name(), &letter));
  YAGURA_ASSIGN_OR_RETURN(const bool removed, letters_.Remove(*place.topic, place.shard, place.id));
  if (!removed) return NoSuch(request.name());
  return v1::DeleteDeadLetterResponse();
}

}  // namespace yagura::detection
