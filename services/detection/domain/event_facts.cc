#include "services/detection/domain/event_facts.h"

#include <algorithm>
#include <array>

#include "common/clock/proto_time.h"
#include "common/event/event_view.h"
#include "common/status/status.h"
#include "common/text/text.h"
#include "services/detection/domain/tags.h"

namespace yagura::detection {
namespace {

using event::Core;

constexpr size_t kMaxCoreText = 256;
// Of a batch; more are somebody's invention.
constexpr size_t kMaxNamedFields = 32;
constexpr size_t kMaxFieldValues = 8;

struct NamedEntity {
  std::string_view name;  // lower case
  v1::EntityType type;
  std::string_view role;
};
// Field names of products, Sigma and ECS that name what has no column of the core. In order of the
// names.
constexpr auto kNamedEntities = std::to_array<NamedEntity>({
    {"alert.metadata.affected_product", v1::PRODUCT, "target"},
    {"enriched.dst.asset", v1::ASSET, "target"},
    {"enriched.src.asset", v1::ASSET, "source"},
    {"exe", v1::FILE, "process"},
    {"file.hash.md5", v1::FILE_HASH, "file"},
    {"file.hash.sha1", v1::FILE_HASH, "file"},
    {"file.hash.sha256", v1::FILE_HASH, "file"},
    {"file.name", v1::FILE, "file"},
    {"file.path", v1::FILE, "file"},
    {"file_hash", v1::FILE_HASH, "file"},
    {"file_md5", v1::FILE_HASH, "file"},
    {"file_name", v1::FILE, "file"},
    {"file_path", v1::FILE, "file"},
    {"file_sha1", v1::FILE_HASH, "file"},
    {"file_sha256", v1::FILE_HASH, "file"},
    {"filehash", v1::FILE_HASH, "file"},
    {"filename", v1::FILE, "file"},
    {"filepath", v1::FILE, "file"},
    {"hash", v1::FILE_HASH, "file"},
    {"hash.md5", v1::FILE_HASH, "file"},
    {"hash.sha1", v1::FILE_HASH, "file"},
    {"hash.sha256", v1::FILE_HASH, "file"},
    {"hashes", v1::FILE_HASH, "process"},
    {"image", v1::FILE, "process"},
    {"imageloaded", v1::FILE, "module"},
    {"md5", v1::FILE_HASH, "file"},
    {"newprocessname", v1::FILE, "process"},
    {"process.executable", v1::FILE, "process"},
    {"process.hash.sha256", v1::FILE_HASH, "process"},
    {"sha1", v1::FILE_HASH, "file"},
    {"sha256", v1::FILE_HASH, "file"},
    {"subjectusername", v1::USER, "actor"},
    {"targetfilename", v1::FILE, "file"},
});
static_assert(std::ranges::is_sorted(kNamedEntities, {}, &NamedEntity::name));

// What a finding keeps of the two ends, in the same order.
constexpr auto kEnds =
    std::to_array<Core>({Core::kSrcIp, Core::kSrcPort, Core::kSrcTranslatedIp,
                         Core::kSrcTranslatedPort, Core::kSrcHost, Core::kDstIp, Core::kDstPort,
                         Core::kDstTranslatedIp, Core::kDstTranslatedPort, Core::kDstHost});

struct CoreEntity {
  Core core;
  v1::EntityType type;
  std::string_view role;
};
constexpr auto kCoreEntities = std::to_array<CoreEntity>({
    {Core::kSrcIp, v1::IP_ADDRESS, "source"},
    {Core::kDstIp, v1::IP_ADDRESS, "target"},
    {Core::kDstTranslatedIp, v1::IP_ADDRESS, "target"},
    {Core::kUser, v1::USER, "actor"},
    {Core::kHost, v1::HOST, "host"},
    {Core::kDstHost, v1::HOST, "target"},
    {Core::kUrl, v1::URL, "target"},
});

// Texts of the core that a finding keeps.
struct CoreText {
  Core core;
  void (*set)(event::v1::Event&, std::string);
};
constexpr auto kCoreTexts = std::to_array<CoreText>({
    {Core::kProduct, [](event::v1::Event& e, std::string v) { e.set_product(std::move(v)); }},
    {Core::kCategory, [](event::v1::Event& e, std::string v) { e.set_category(std::move(v)); }},
    {Core::kProtocol, [](event::v1::Event& e, std::string v) { e.set_protocol(std::move(v)); }},
    {Core::kApp, [](event::v1::Event& e, std::string v) { e.set_app(std::move(v)); }},
    {Core::kRule, [](event::v1::Event& e, std::string v) { e.set_rule(std::move(v)); }},
    {Core::kSignatureId,
     [](event::v1::Event& e, std::string v) { e.set_signature_id(std::move(v)); }},
    {Core::kSignature, [](event::v1::Event& e, std::string v) { e.set_signature(std::move(v)); }},
    {Core::kUser, [](event::v1::Event& e, std::string v) { e.set_user(std::move(v)); }},
    {Core::kUrl, [](event::v1::Event& e, std::string v) { e.set_url(std::move(v)); }},
    {Core::kVirtualContext,
     [](event::v1::Event& e, std::string v) { e.set_virtual_context(std::move(v)); }},
    {Core::kDirection, [](event::v1::Event& e, std::string v) { e.set_direction(std::move(v)); }},
    {Core::kProgram, [](event::v1::Event& e, std::string v) { e.set_program(std::move(v)); }},
    {Core::kHost, [](event::v1::Event& e, std::string v) { e.set_host(std::move(v)); }},
    {Core::kVendorEventId,
     [](event::v1::Event& e, std::string v) { e.set_vendor_event_id(std::move(v)); }},
});

void AddEntity(v1::Evidence& evidence, v1::EntityType type, std::string_view value,
               std::string_view role) {
  if (value.empty() || value == "-" || evidence.entities_size() >= kMaxEvidenceEntities) return;
  std::string text = ToValidUtf8(value.substr(0, kMaxEntityValue));
  for (const auto& known : evidence.entities()) {
    if (known.type() == type && known.value() == text) return;
  }
  auto* entity = evidence.add_entities();
  entity->set_type(type);
  entity->set_value(std::move(text));
  entity->set_role(std::string(role));
}

// The strongest of "SHA1=..,MD5=..,SHA256=..", or the hash that the whole text is; in lower case.
std::string HashIn(std::string_view text) {
  std::string best;
  for (const auto part : Split(text.substr(0, 1024), ',')) {
    const std::string hash = ToLower(Trim(part.substr(part.find('=') + 1)));
    const bool is_digest = hash.size() == 32 || hash.size() == 40 || hash.size() == 64;
    if (!is_digest || !HexDecode(hash) || ToLower(Trim(part)).starts_with("imphash")) continue;
    if (hash.size() > best.size()) best = hash;
  }
  return best;
}

// How much of what it reports a device let through with it.
int Laxity(event::v1::Action action) {
  switch (action) {
    case event::v1::BLOCKED:
    case event::v1::LOGON_FAILED:
      return 1;
    case event::v1::ALLOWED:
    case event::v1::DETECTED:
      return 3;
    case event::v1::ACTION_UNSPECIFIED:
      return 0;
    default:
      return 2;
  }
}

}  // namespace

void AddField(google::protobuf::RepeatedPtrField<event::v1::Field>& fields, std::string_view name,
              std::string_view value, size_t limit) {
  auto* field = fields.Add();
  field->set_name(std::string(name));
  field->set_value(std::string(value.substr(0, limit)));
}

std::string AddressText(std::string_view bytes) {
  return event::IpAddress::FromBytes(bytes).ToString();
}

event::v1::Action LaxerAction(event::v1::Action a, event::v1::Action b) {
  if (Laxity(a) != Laxity(b)) return Laxity(a) > Laxity(b) ? a : b;
  return std::max(a, b);
}

Status EventFacts::Load() {
  for (const Core core :
       {Core::kEventTime, Core::kReceiveTime, Core::kDevice, Core::kSite, Core::kAction,
        Core::kSrcIp, Core::kUser, Core::kHost, Core::kSignature}) {
    YAGURA_ASSIGN_OR_RETURN(columns_[static_cast<size_t>(core)], batch_.Read(core));
  }
  return absl::OkStatus();
}

// What evidence and typed core are made of.
Status EventFacts::LoadAll() {
  if (has_all_) return absl::OkStatus();
  const auto read = [this](Core core) -> Status {
    YAGURA_ASSIGN_OR_RETURN(columns_[static_cast<size_t>(core)], batch_.Read(core));
    return absl::OkStatus();
  };
  for (const Core core : kEnds) YAGURA_RETURN_IF_ERROR(read(core));
  for (const auto& one : kCoreTexts) YAGURA_RETURN_IF_ERROR(read(one.core));
  YAGURA_ASSIGN_OR_RETURN(src_scope_, batch_.ReadField("enriched.src.scope"));
  YAGURA_ASSIGN_OR_RETURN(dst_scope_, batch_.ReadField("enriched.dst.scope"));
  YAGURA_RETURN_IF_ERROR(FindNamedFields());
  has_all_ = true;
  return absl::OkStatus();
}

int64_t EventFacts::ReceiveNanos(size_t row) const {
  const auto& times = At(Core::kReceiveTime);
  return times.has(row) ? times.signed_number(row)
                        : batch_.header().receive_time.time_since_epoch().count();
}

int64_t EventFacts::WindowTime(size_t row) const {
  const int64_t received = ReceiveNanos(row);
  const auto& times = At(Core::kEventTime);
  return times.has(row) ? std::min(times.signed_number(row), received) : received;
}

event::v1::Action EventFacts::ActionOf(size_t row) const {
  return static_cast<event::v1::Action>(At(Core::kAction).number(row));
}

StatusOr<v1::Evidence> EventFacts::EvidenceOf(size_t row) {
  YAGURA_RETURN_IF_ERROR(LoadAll());
  v1::Evidence evidence;
  evidence.set_event_id(batch_.EventId(RowOf(row)));
  const auto time = [](int64_t nanos) {
    return ToProto(TimePoint(std::chrono::nanoseconds(nanos)));
  };
  const int64_t received = ReceiveNanos(row);
  *evidence.mutable_event_time() =
      time(At(Core::kEventTime).has(row) ? At(Core::kEventTime).signed_number(row) : received);
  *evidence.mutable_receive_time() = time(received);
  YAGURA_ASSIGN_OR_RETURN(const auto raw, batch_.Raw(row));
  evidence.set_raw(std::string(raw.substr(0, kMaxEvidenceRaw)));
  evidence.set_action(ActionOf(row));
  evidence.set_signature(ToValidUtf8(At(Core::kSignature).text(row).substr(0, kMaxCoreText)));
  AddEntities(row, evidence);
  return evidence;
}

// Which of the batch's original fields may name an entity, in the order in which they appear.
Status EventFacts::FindNamedFields() {
  const auto add = [this](v1::EntityType type, std::string_view role,
                          std::string_view name) -> Status {
    YAGURA_ASSIGN_OR_RETURN(auto columns, batch_.ReadFieldAll(name));
    if (columns.size() > kMaxFieldValues) columns.resize(kMaxFieldValues);
    named_.push_back({type, role, std::move(columns)});
    return absl::OkStatus();
  };
  for (const auto name : batch_.field_names()) {
    if (named_.size() >= kMaxNamedFields) break;
    const std::string lower = ToLower(name);
    const auto known =
        std::ranges::lower_bound(kNamedEntities, std::string_view(lower), {}, &NamedEntity::name);
    if (known != kNamedEntities.end() && known->name == lower) {
      YAGURA_RETURN_IF_ERROR(add(known->type, known->role, name));
    } else if (lower.find("cve") != std::string::npos) {
      YAGURA_RETURN_IF_ERROR(add(v1::VULNERABILITY, "exploited", name));
    }
  }
  return absl::OkStatus();
}

void EventFacts::AddEntities(size_t row, v1::Evidence& evidence) const {
  for (const auto& [core, type, role] : kCoreEntities) {
    const std::string_view value = At(core).text(row);
    if (value.empty()) continue;
    AddEntity(evidence, type, type == v1::IP_ADDRESS ? AddressText(value) : value, role);
  }
  if (const auto signature = At(Core::kSignature).text(row); !signature.empty()) {
    for (const auto& cve : CvesIn(signature)) {
      AddEntity(evidence, v1::VULNERABILITY, cve, "exploited");
    }
  }
  for (const auto& field : named_) {
    for (const auto* column : field.columns) {
      const std::string_view value = column->text(row);
      if (value.empty()) continue;
      if (field.type == v1::FILE_HASH) {
        AddEntity(evidence, field.type, HashIn(value), field.role);
      } else if (field.type == v1::VULNERABILITY) {
        for (const auto& cve : CvesIn(value)) AddEntity(evidence, field.type, cve, field.role);
      } else {
        AddEntity(evidence, field.type, value, field.role);
      }
    }
  }
}

// By where ingestion found the ends to be.
std::string_view EventFacts::DirectionOf(size_t row) const {
  if (!src_scope_->has(row) || !dst_scope_->has(row)) return "";
  const bool from_inside = src_scope_->text(row) == "internal";
  const bool to_inside = dst_scope_->text(row) == "internal";
  if (from_inside && to_inside) return "internal";
  if (from_inside != to_inside) return to_inside ? "inbound" : "outbound";
  return "";
}

StatusOr<event::v1::Event> EventFacts::CoreOf(size_t row) {
  YAGURA_RETURN_IF_ERROR(LoadAll());
  event::v1::Event event;
  const auto end = [&](size_t first, event::v1::Endpoint& one) {
    const auto at = [&](size_t offset) -> const event::Column& {
      return At(kEnds[first + offset]);
    };
    if (at(0).has(row)) one.set_ip(std::string(at(0).text(row)));
    if (at(1).has(row)) one.set_port(static_cast<uint32_t>(at(1).number(row)));
    if (at(2).has(row)) one.set_translated_ip(std::string(at(2).text(row)));
    if (at(3).has(row)) one.set_translated_port(static_cast<uint32_t>(at(3).number(row)));
    if (at(4).has(row)) one.set_host(ToValidUtf8(at(4).text(row).substr(0, kMaxCoreText)));
  };
  end(0, *event.mutable_src());
  end(5, *event.mutable_dst());
  for (const auto& one : kCoreTexts) {
    const auto& column = At(one.core);
    if (column.has(row)) one.set(event, ToValidUtf8(column.text(row).substr(0, kMaxCoreText)));
  }
  if (event.direction().empty()) event.set_direction(std::string(DirectionOf(row)));
  event.set_action(ActionOf(row));
  event.set_device(std::string(At(Core::kDevice).text(row)));
  event.set_site(std::string(At(Core::kSite).text(row)));
  if (event.src().ByteSizeLong() == 0) event.clear_src();
  if (event.dst().ByteSizeLong() == 0) event.clear_dst();
  return event;
}

std::vector<EventFacts::GroupValue> EventFacts::SubjectOf(size_t row) {
  const auto& addresses = At(Core::kSrcIp);
  if (src_ips_.empty() && !addresses.empty()) {
    for (const auto bytes : addresses.texts) src_ips_.push_back(AddressText(bytes));
  }
  std::vector<GroupValue> values = {
      {"site", At(Core::kSite).text(row)},
      {"device", At(Core::kDevice).text(row)},
      {"host", At(Core::kHost).text(row)},
      {"src.ip", addresses.has(row) ? std::string_view(src_ips_[addresses.rows[row] - 1U])
                                    : std::string_view()},
      {"user", At(Core::kUser).text(row)}};
  if (ActionOf(row) == event::v1::BLOCKED) values.push_back({"action", "blocked"});
  return values;
}

}  // namespace yagura::detection
