#include "common/store/store.h"

#include <random>
#include <thread>

#include "fmt/format.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/timestamp.pb.h"

#include "common/clock/proto_time.h"
#include "common/digest/sha256.h"
#include "common/status/status.h"
#include "common/store/keys.h"
#include "common/store/store_impl.h"
#include "yagura/audit/v1/audit.pb.h"

namespace yagura::store {
namespace {

using google::protobuf::Message;

constexpr int kMaxAttempts = 100;
constexpr std::chrono::microseconds kMaxBackoff{100'000};
constexpr size_t kPageOfAll = 1000;
constexpr std::chrono::seconds kMaxTurnWait{2};

// Full jitter: writers that lost the same race come back spread out.
void BackOff(int attempt) {
  thread_local std::minstd_rand random{std::random_device{}()};
  const auto ceiling =
      std::min<int64_t>(kMaxBackoff.count(), int64_t{200} << std::min(attempt, 12));
  std::uniform_int_distribution<int64_t> delay(0, ceiling);
  std::this_thread::sleep_for(std::chrono::microseconds(delay(random)));
}

Status EtagMismatch(std::string_view name, std::string_view current) {
  return MakeError(absl::StatusCode::kAborted, "ETAG_MISMATCH",
                   fmt::format("{} has changed since it was read", name),
                   {{"resource", std::string(name)}, {"etag", std::string(current)}});
}

Status RequestIdReused() {
  return MakeError(absl::StatusCode::kInvalidArgument, "REQUEST_ID_REUSED",
                   "request_id was used with another request within the last 24 hours");
}

// A delete that found nothing: a late repeat must not take away what was made since.
absl::StatusOr<std::optional<std::string>> RememberMissing(redis::Pool& state,
                                                           const RequestIdentity& request) {
  if (request.key.empty()) return std::nullopt;
  YAGURA_ASSIGN_OR_RETURN(WriteResult result, RunRemember(state, request, kMissingAnswer));
  if (result.outcome == WriteResult::Outcome::kReused) return RequestIdReused();
  if (result.outcome != WriteResult::Outcome::kReplayed) return std::nullopt;
  return std::move(result.value);
}

void SetTime(Message& message, const google::protobuf::FieldDescriptor* field, TimePoint time) {
  if (field == nullptr) return;
  message.GetReflection()->MutableMessage(&message, field)->CopyFrom(ToProto(time));
}

void KeepTime(const Message& from, Message& to, const google::protobuf::FieldDescriptor* field) {
  if (field == nullptr) return;
  if (!from.GetReflection()->HasField(from, field)) {
    to.GetReflection()->ClearField(&to, field);
  } else {
    to.GetReflection()
        ->MutableMessage(&to, field)
        ->CopyFrom(from.GetReflection()->GetMessage(from, field));
  }
}

audit::v1::Action ActionOf(WriteKind what) {
  switch (what) {
    case WriteKind::kCreate:
      return audit::v1::CREATED;
    case WriteKind::kUpdate:
      return audit::v1::UPDATED;
    case WriteKind::kDelete:
      return audit::v1::DELETED;
  }
  return audit::v1::ACTION_UNSPECIFIED;
}

}  // namespace

RetryQueue::Turn::Turn(RetryQueue& queue, std::string_view name)
    : queue_(queue), slot_(std::hash<std::string_view>{}(name) % kSlots) {
  std::unique_lock lock(queue_.mutex_);
  held_ = queue_.freed_.at(slot_).wait_for(lock, kMaxTurnWait,
                                           [this] { return !queue_.taken_.at(slot_); });
  if (held_) queue_.taken_.at(slot_) = true;
}

RetryQueue::Turn::~Turn() {
  if (!held_) return;
  {
    const std::lock_guard lock(queue_.mutex_);
    queue_.taken_.at(slot_) = false;
  }
  queue_.freed_.at(slot_).notify_one();
}

absl::StatusOr<Loaded> ResourceStore::Impl::Parse(std::string_view bytes) const {
  YAGURA_ASSIGN_OR_RETURN(Stored stored, DecodeStored(bytes));
  Loaded loaded{.message = std::unique_ptr<Message>(kind.prototype().New()),
                .etag = std::move(stored.etag),
                .index_version = stored.index_version};
  if (!loaded.message->ParseFromString(stored.message)) {
    return MakeError(absl::StatusCode::kDataLoss, "STORED_RESOURCE_UNREADABLE",
                     fmt::format("a stored {} cannot be parsed", kind.full_kind()));
  }
  kind.SetEtag(*loaded.message, loaded.etag);
  return loaded;
}

absl::StatusOr<Loaded> ResourceStore::Impl::Load(const Location& location) const {
  const std::string key = DataKey(kind.kind(), location.tenant, location.id_path);
  YAGURA_ASSIGN_OR_RETURN(const auto reply, state->Command({"GET", key}));
  if (reply.is_nil()) return Loaded{};
  return Parse(reply.text);
}

absl::StatusOr<std::vector<Loaded>> ResourceStore::Impl::LoadMany(
    const std::string& tenant, const std::vector<std::string>& id_paths,
    const OnUnreadable& unreadable) const {
  std::vector<Loaded> loaded(id_paths.size());
  if (id_paths.empty()) return loaded;
  std::vector<std::string> keys;
  keys.reserve(id_paths.size());
  for (const auto& id_path : id_paths) keys.push_back(DataKey(kind.kind(), tenant, id_path));
  redis::Args args = {"MGET"};
  args.insert(args.end(), keys.begin(), keys.end());
  YAGURA_ASSIGN_OR_RETURN(const auto reply, state->Command(args));
  if (reply.items.size() != id_paths.size()) return Internal("MGET gave an unknown answer");
  for (size_t i = 0; i < id_paths.size(); ++i) {
    if (reply.items[i].is_nil()) continue;
    auto parsed = Parse(reply.items[i].text);
    if (parsed.ok()) {
      loaded[i] = *std::move(parsed);
      continue;
    }
    const std::string name = kind.NameOf({.tenant = tenant, .id_path = id_paths[i]});
    if (!unreadable) return Annotate(parsed.status(), name);
    unreadable(name);
  }
  return loaded;
}

std::vector<Write::IndexEntry> ResourceStore::Impl::Entries(const Location& location,
                                                            const Message& message) const {
  std::vector<Write::IndexEntry> entries;
  for (const auto& index : kind.indexes()) {
    const std::string key =
        IndexKey(kind.kind(), location.tenant, index.name, kind.kind().index_version);
    for (auto& member : index.Members(message, location.id_path)) {
      entries.emplace_back(key, std::move(member));
    }
  }
  const std::string claims = ClaimsKey(kind.kind(), location.tenant);
  for (auto& member : ClaimMembers(kind, message, location.id_path)) {
    entries.emplace_back(claims, std::move(member));
  }
  return entries;
}

Write ResourceStore::Impl::MakeWrite(WriteKind what, const WriteContext& context,
                                     const Location& location, const Message* before,
                                     Message* after) const {
  const TimePoint now = clock->Now();
  Write write;
  write.kind = what;
  if (before != nullptr) {
    write.expected_etag = kind.Etag(*before);
    write.old_entries = Entries(location, *before);
  }
  audit::v1::Record record;
  if (after != nullptr) {
    if (before != nullptr) {
      KeepTime(*before, *after, kind.create_time());
    } else {
      SetTime(*after, kind.create_time(), now);
    }
    SetTime(*after, kind.update_time(), now);
    write.next.etag = NewEtag();
    write.next.index_version = kind.kind().index_version;
    kind.SetEtag(*after, write.next.etag);
    write.next.message = Serialize(*after);
    write.new_entries = Entries(location, *after);
    write.guards = GuardsOf(kind, before, *after);
    record.set_etag(write.next.etag);
    record.set_digest(Sha256(write.next.message));
  }
  if (kind.kind().silent) return write;
  *record.mutable_time() = ToProto(now);
  record.set_tenant(location.tenant);
  record.set_principal(context.principal);
  record.set_on_behalf_of(context.on_behalf_of);
  record.set_method(context.method);
  record.set_action(ActionOf(what));
  record.set_resource(kind.Name(after != nullptr ? *after : *before));
  record.set_kind(kind.full_kind());
  record.set_request_id(context.request_id);
  record.set_detail(context.detail);
  write.record = Serialize(record);
  return write;
}

absl::StatusOr<std::optional<std::string>> ResourceStore::Impl::Replay(
    const RequestIdentity& request) const {
  if (request.key.empty()) return std::nullopt;
  YAGURA_ASSIGN_OR_RETURN(const auto reply,
                          state->Command({"HMGET", request.key, "digest", request.field}));
  if (reply.items.size() != 2) return Internal("HMGET gave an unknown answer");
  if (reply.items[0].is_nil()) return std::nullopt;
  if (reply.items[0].text != request.digest) return RequestIdReused();
  if (reply.items[1].is_nil()) return std::nullopt;
  return reply.items[1].text;
}

absl::StatusOr<std::optional<std::string>> ResourceStore::Impl::Remember(
    const RequestIdentity& request, const Loaded& loaded) const {
  if (request.key.empty()) return std::nullopt;
  const Stored stored{.etag = loaded.etag,
                      .index_version = loaded.index_version,
                      .message = Serialize(*loaded.message)};
  YAGURA_ASSIGN_OR_RETURN(WriteResult result, RunRemember(*state, request, EncodeStored(stored)));
  if (result.outcome == WriteResult::Outcome::kReused) return RequestIdReused();
  if (result.outcome != WriteResult::Outcome::kReplayed) return std::nullopt;
  return std::move(result.value);
}

absl::Status ResourceStore::Impl::Register(const std::string& tenant) {
  {
    const std::lock_guard lock(mutex);
    if (registered.contains(tenant)) return absl::OkStatus();
  }
  YAGURA_RETURN_IF_ERROR(RegisterTenant(*state, tenant));
  YAGURA_RETURN_IF_ERROR(RegisterIndexes(tenant));
  const std::lock_guard lock(mutex);
  registered.insert(tenant);
  return absl::OkStatus();
}

absl::Status ResourceStore::Impl::RegisterIndexes(const std::string& tenant) const {
  const std::string set = IndexKeysKey(kind.kind(), tenant);
  const auto keys = IndexKeys(tenant);
  if (keys.empty()) return absl::OkStatus();
  redis::Args args = {"SADD", set};
  args.insert(args.end(), keys.begin(), keys.end());
  return state->Command(args).status();
}

std::vector<std::string> ResourceStore::Impl::IndexKeys(const std::string& tenant) const {
  std::vector<std::string> keys;
  for (const auto& index : kind.indexes()) {
    keys.push_back(IndexKey(kind.kind(), tenant, index.name, kind.kind().index_version));
  }
  if (kind.kind().claims) keys.push_back(ClaimsKey(kind.kind(), tenant));
  return keys;
}

absl::Status ResourceStore::Impl::ReadAndWrite(WriteKind what, const WriteContext& context,
                                               std::string_view name, bool retry,
                                               const Prepare& prepare, Message* out) {
  YAGURA_ASSIGN_OR_RETURN(const Location location, kind.Locate(name));
  const RequestIdentity request = IdentityOf(context, kind, location, what);
  const auto answer = [&](const std::string& stored) -> absl::Status {
    if (stored == kMissingAnswer) return NotFound(name);
    if (out == nullptr || stored.empty()) return absl::OkStatus();
    YAGURA_ASSIGN_OR_RETURN(const Loaded first, Parse(stored));
    out->CopyFrom(*first.message);
    return absl::OkStatus();
  };
  const auto missing = [&]() -> absl::Status {
    if (what != WriteKind::kDelete) return NotFound(name);
    YAGURA_ASSIGN_OR_RETURN(const auto first, RememberMissing(*state, request));
    return first ? answer(*first) : NotFound(name);
  };
  YAGURA_ASSIGN_OR_RETURN(const auto replay, Replay(request));
  if (replay) return answer(*replay);

  std::string current_etag;
  std::optional<RetryQueue::Turn> turn;
  for (int attempt = 0; attempt < kMaxAttempts; ++attempt) {
    if (attempt == 1) turn.emplace(retries, name);
    if (attempt > 1) BackOff(attempt);
    YAGURA_ASSIGN_OR_RETURN(const Loaded before, Load(location));
    if (before.message == nullptr) return missing();
    std::unique_ptr<Message> next(before.message->New());
    next->CopyFrom(*before.message);
    YAGURA_ASSIGN_OR_RETURN(const Next decided, prepare(before, *next));
    if (decided == Next::kNothing) {
      YAGURA_ASSIGN_OR_RETURN(const auto first, Remember(request, before));
      if (first) return answer(*first);
      if (out != nullptr) out->CopyFrom(*before.message);
      return absl::OkStatus();
    }
    kind.SetName(*next, name);
    Write write = MakeWrite(what, context, location, before.message.get(),
                            what == WriteKind::kDelete ? nullptr : next.get());
    write.old_entries_stand = before.index_version == kind.kind().index_version;
    YAGURA_ASSIGN_OR_RETURN(const WriteResult result,
                            RunWrite(*state, kind, location, request, write));
    switch (result.outcome) {
      case WriteResult::Outcome::kDone:
        if (out != nullptr) out->CopyFrom(*next);
        return absl::OkStatus();
      case WriteResult::Outcome::kReplayed:
        return answer(result.value);
      case WriteResult::Outcome::kReused:
        return RequestIdReused();
      case WriteResult::Outcome::kMissing:
        return missing();
      case WriteResult::Outcome::kEtagDiffers:
      case WriteResult::Outcome::kExists:
        current_etag = result.value;
        break;
      case WriteResult::Outcome::kClaimed:
        return ClaimedBy(kind, location.tenant, write.guards, result.value);
      case WriteResult::Outcome::kIndexBehind:
        YAGURA_RETURN_IF_ERROR(Reindex(location.tenant));
        continue;
    }
    if (!retry) break;
  }
  return EtagMismatch(name, current_etag);
}

ResourceStore::ResourceStore(std::shared_ptr<redis::Pool> state, Kind kind,
                             const Message& prototype, std::shared_ptr<const Clock> clock)
    : impl_(
          std::make_unique<Impl>(std::move(state), std::move(kind), prototype, std::move(clock))) {}
ResourceStore::~ResourceStore() = default;

const Kind& ResourceStore::kind() const { return impl_->kind.kind(); }
const Message& ResourceStore::prototype() const { return impl_->kind.prototype(); }

absl::Status ResourceStore::Create(const WriteContext& context, Message& message) {
  const CompiledKind& kind = impl_->kind;
  const std::string name = kind.Name(message);
  YAGURA_ASSIGN_OR_RETURN(const Location location, kind.Locate(name));
  YAGURA_RETURN_IF_ERROR(impl_->Register(location.tenant));
  const RequestIdentity request = IdentityOf(context, kind, location, WriteKind::kCreate);
  const Write write = impl_->MakeWrite(WriteKind::kCreate, context, location, nullptr, &message);
  const auto run = [&] { return RunWrite(*impl_->state, kind, location, request, write); };
  YAGURA_ASSIGN_OR_RETURN(WriteResult result, run());
  for (int attempt = 1; result.outcome == WriteResult::Outcome::kIndexBehind; ++attempt) {
    if (attempt == kMaxAttempts) return IndexContended(kind);
    YAGURA_RETURN_IF_ERROR(impl_->Reindex(location.tenant));
    YAGURA_ASSIGN_OR_RETURN(result, run());
  }
  switch (result.outcome) {
    case WriteResult::Outcome::kDone:
      return absl::OkStatus();
    case WriteResult::Outcome::kClaimed:
      return ClaimedBy(kind, location.tenant, write.guards, result.value);
    case WriteResult::Outcome::kReplayed: {
      YAGURA_ASSIGN_OR_RETURN(const Loaded first, impl_->Parse(result.value));
      message.CopyFrom(*first.message);
      return absl::OkStatus();
    }
    case WriteResult::Outcome::kReused:
      return RequestIdReused();
    default:
      return MakeError(absl::StatusCode::kAlreadyExists, "RESOURCE_EXISTS",
                       fmt::format("{} exists already", name), {{"resource", name}});
  }
}

absl::Status ResourceStore::Get(std::string_view name, Message& out) const {
  YAGURA_ASSIGN_OR_RETURN(const Location location, impl_->kind.Locate(name));
  YAGURA_ASSIGN_OR_RETURN(const Loaded loaded, impl_->Load(location));
  if (loaded.message == nullptr) return NotFound(name);
  out.CopyFrom(*loaded.message);
  return absl::OkStatus();
}

absl::Status ResourceStore::Update(const WriteContext& context, Message& message) {
  const std::string name = impl_->kind.Name(message);
  const std::string etag = impl_->kind.Etag(message);
  std::unique_ptr<Message> replacement(message.New());
  replacement->CopyFrom(message);
  return impl_->ReadAndWrite(
      WriteKind::kUpdate, context, name, etag.empty(),
      [&](const Loaded& before, Message& next) -> absl::StatusOr<Impl::Next> {
        if (!etag.empty() && etag != before.etag) return EtagMismatch(name, before.etag);
        next.CopyFrom(*replacement);
        return Impl::Next::kWrite;
      },
      &message);
}

absl::Status ResourceStore::Mutate(const WriteContext& context, std::string_view name,
                                   Message& scratch,
                                   const std::function<absl::Status(Message&)>& change) {
  const CompiledKind& kind = impl_->kind;
  return impl_->ReadAndWrite(
      WriteKind::kUpdate, context, name, true,
      [&](const Loaded& before, Message& next) -> absl::StatusOr<Impl::Next> {
        // `change` was promised a message of the caller's own type: scratch.
        scratch.CopyFrom(*before.message);
        YAGURA_RETURN_IF_ERROR(change(scratch));
        kind.SetName(scratch, name);
        kind.SetEtag(scratch, before.etag);
        next.CopyFrom(scratch);
        const bool same = Serialize(next) == Serialize(*before.message);
        return same ? Impl::Next::kNothing : Impl::Next::kWrite;
      },
      &scratch);
}

absl::Status ResourceStore::Delete(const WriteContext& context, std::string_view name,
                                   std::string_view etag) {
  return impl_->ReadAndWrite(
      WriteKind::kDelete, context, name, etag.empty(),
      [&](const Loaded& before, Message&) -> absl::StatusOr<Impl::Next> {
        if (!etag.empty() && etag != before.etag) return EtagMismatch(name, before.etag);
        return Impl::Next::kWrite;
      },
      nullptr);
}

absl::StatusOr<Page<std::unique_ptr<Message>>> ResourceStore::List(const ListQuery& query) const {
  return impl_->List(query);
}

absl::Status ResourceStore::ForEach(std::string_view tenant,
                                    const std::function<absl::Status(const Message&)>& visit,
                                    const OnUnreadable& unreadable) const {
  const std::string key = AllIdsKey(impl_->kind.kind(), tenant);
  std::string from = "-";
  while (true) {
    YAGURA_ASSIGN_OR_RETURN(
        auto reply, impl_->state->Command(
                        {"ZRANGEBYLEX", key, from, "+", "LIMIT", "0", std::to_string(kPageOfAll)}));
    std::vector<std::string> id_paths;
    for (auto& item : reply.items) id_paths.push_back(std::move(item.text));
    if (id_paths.empty()) return absl::OkStatus();
    from = "(" + id_paths.back();
    YAGURA_ASSIGN_OR_RETURN(const auto page,
                            impl_->LoadMany(std::string(tenant), id_paths, unreadable));
    for (const auto& loaded : page) {
      if (loaded.message != nullptr) YAGURA_RETURN_IF_ERROR(visit(*loaded.message));
    }
    if (id_paths.size() < kPageOfAll) return absl::OkStatus();
  }
}

absl::StatusOr<std::vector<std::unique_ptr<Message>>> ResourceStore::GetMany(
    const std::vector<std::string>& names) const {
  std::vector<std::unique_ptr<Message>> found(names.size());
  for (size_t start = 0; start < names.size(); start += kPageOfAll) {
    const size_t end = std::min(names.size(), start + kPageOfAll);
    std::vector<std::string> keys;
    for (size_t i = start; i < end; ++i) {
      YAGURA_ASSIGN_OR_RETURN(const Location location, impl_->kind.Locate(names[i]));
      keys.push_back(DataKey(impl_->kind.kind(), location.tenant, location.id_path));
    }
    redis::Args args = {"MGET"};
    args.insert(args.end(), keys.begin(), keys.end());
    YAGURA_ASSIGN_OR_RETURN(const auto reply, impl_->state->Command(args));
    if (reply.items.size() != keys.size()) return Internal("MGET gave an unknown answer");
    for (size_t i = 0; i < keys.size(); ++i) {
      if (reply.items[i].is_nil()) continue;
      YAGURA_ASSIGN_OR_RETURN(Loaded loaded, impl_->Parse(reply.items[i].text));
      found[start + i] = std::move(loaded.message);
    }
  }
  return found;
}

}  // namespace yagura::store
