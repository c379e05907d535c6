#include "services/detection/domain/event_facts.h"

#include <algorithm>
#include <array>
#include <functional>

#include "common/clock/proto_time.h"
#include "common/event/event_view.h"
#include "common/status/status.h"
#include "common/text/text.h"
#include "services/detection/domain/tags.h"

namespace yagura::detection {
namespace {

using event::Core;
using internal::v1::Hit;

constexpr size_t kMaxGroupValue = 512;
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
  for (const auto& [core, column] : std::initializer_list<std::pair<Core, const event::Column**>>{
           {Core::kEventTime, &event_time_},
           {Core::kReceiveTime, &receive_time_},
           {Core::kDevice, &device_},
           {Core::kSite, &site_},
           {Core::kAction, &action_},
           {Core::kSrcIp, &src_ip_},
           {Core::kUser, &user_},
           {Core::kHost, &host_}}) {
    YAGURA_ASSIGN_OR_RETURN(*column, batch_.Read(core));
  }
  return absl::OkStatus();
}

int64_t EventFacts::ReceiveNanos(size_t row) const {
  return receive_time_->has(row) ? receive_time_->signed_number(row)
                                 : batch_.header().receive_time.time_since_epoch().count();
}

int64_t EventFacts::WindowTime(size_t row) const {
  const int64_t received = ReceiveNanos(row);
  const int64_t happened = event_time_->has(row) ? event_time_->signed_number(row) : received;
  return std::min(happened, received);
}

event::v1::Action EventFacts::ActionOf(size_t row) const {
  return static_cast<event::v1::Action>(action_->number(row));
}

StatusOr<v1::Evidence> EventFacts::EvidenceOf(size_t row) {
  v1::Evidence evidence;
  evidence.set_event_id(batch_.EventId(row < rows_.size() ? rows_[row] : row));
  const auto time = [](int64_t nanos) {
    return ToProto(TimePoint(std::chrono::nanoseconds(nanos)));
  };
  const int64_t received = ReceiveNanos(row);
  *evidence.mutable_event_time() =
      time(event_time_->has(row) ? event_time_->signed_number(row) : received);
  *evidence.mutable_receive_time() = time(received);
  YAGURA_ASSIGN_OR_RETURN(const auto raw, batch_.Raw(row));
  evidence.set_raw(std::string(raw.substr(0, kMaxEvidenceRaw)));
  evidence.set_action(ActionOf(row));
  YAGURA_RETURN_IF_ERROR(AddEntities(row, evidence));
  return evidence;
}

// Which of the batch's original fields may name an entity, in the order in which they appear.
void EventFacts::FindNamedFields() {
  found_ = true;
  for (const auto name : batch_.field_names()) {
    if (named_.size() >= kMaxNamedFields) return;
    const std::string lower = ToLower(name);
    const auto known =
        std::ranges::lower_bound(kNamedEntities, std::string_view(lower), {}, &NamedEntity::name);
    if (known != kNamedEntities.end() && known->name == lower) {
      named_.push_back({known->type, known->role, std::string(name)});
    } else if (lower.find("cve") != std::string::npos) {
      named_.push_back({v1::VULNERABILITY, "exploited", std::string(name)});
    }
  }
}

Status EventFacts::AddEntities(size_t row, v1::Evidence& evidence) {
  if (!found_) FindNamedFields();
  for (const auto& [core, type, role] :
       std::initializer_list<std::tuple<Core, v1::EntityType, std::string_view>>{
           {Core::kSrcIp, v1::IP_ADDRESS, "source"},
           {Core::kDstIp, v1::IP_ADDRESS, "target"},
           {Core::kDstTranslatedIp, v1::IP_ADDRESS, "target"},
           {Core::kUser, v1::USER, "actor"},
           {Core::kHost, v1::HOST, "host"},
           {Core::kDstHost, v1::HOST, "target"},
           {Core::kUrl, v1::URL, "target"}}) {
    YAGURA_ASSIGN_OR_RETURN(const auto* column, batch_.Read(core));
    const std::string_view value = column->text(row);
    AddEntity(evidence, type, type == v1::IP_ADDRESS ? AddressText(value) : value, role);
  }
  YAGURA_ASSIGN_OR_RETURN(const auto* signature, batch_.Read(Core::kSignature));
  for (const auto& cve : CvesIn(signature->text(row))) {
    AddEntity(evidence, v1::VULNERABILITY, cve, "exploited");
  }
  for (const auto& field : named_) {
    YAGURA_ASSIGN_OR_RETURN(const auto columns, batch_.ReadFieldAll(field.name));
    for (size_t i = 0; i < columns.size() && i < kMaxFieldValues; ++i) {
      const std::string_view value = columns[i]->text(row);
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
  return absl::OkStatus();
}

// By where ingestion found the ends to be.
StatusOr<std::string_view> EventFacts::DirectionOf(size_t row) {
  YAGURA_ASSIGN_OR_RETURN(const auto* src, batch_.ReadField("enriched.src.scope"));
  YAGURA_ASSIGN_OR_RETURN(const auto* dst, batch_.ReadField("enriched.dst.scope"));
  if (!src->has(row) || !dst->has(row)) return std::string_view();
  const bool from_inside = src->text(row) == "internal";
  const bool to_inside = dst->text(row) == "internal";
  if (from_inside && to_inside) return std::string_view("internal");
  if (from_inside != to_inside) return std::string_view(to_inside ? "inbound" : "outbound");
  return std::string_view();
}

Status EventFacts::Describe(size_t row, Hit& hit) {
  hit.set_device(std::string(device_->text(row)));
  hit.set_site(std::string(site_->text(row)));
  auto& event = *hit.mutable_event();
  const auto text = [&](Core core, const std::function<void(std::string)>& set) -> Status {
    YAGURA_ASSIGN_OR_RETURN(const auto* column, batch_.Read(core));
    if (column->has(row)) set(ToValidUtf8(column->text(row).substr(0, kMaxCoreText)));
    return absl::OkStatus();
  };
  const auto address = [&](Core core, const std::function<void(std::string)>& set) -> Status {
    YAGURA_ASSIGN_OR_RETURN(const auto* column, batch_.Read(core));
    if (column->has(row)) set(std::string(column->text(row)));
    return absl::OkStatus();
  };
  const auto number = [&](Core core, const std::function<void(uint32_t)>& set) -> Status {
    YAGURA_ASSIGN_OR_RETURN(const auto* column, batch_.Read(core));
    if (column->has(row)) set(static_cast<uint32_t>(column->number(row)));
    return absl::OkStatus();
  };
  const auto end = [&](const std::array<Core, 5>& cores, event::v1::Endpoint& one) -> Status {
    YAGURA_RETURN_IF_ERROR(address(cores[0], [&](auto v) { one.set_ip(std::move(v)); }));
    YAGURA_RETURN_IF_ERROR(number(cores[1], [&](auto v) { one.set_port(v); }));
    YAGURA_RETURN_IF_ERROR(address(cores[2], [&](auto v) { one.set_translated_ip(std::move(v)); }));
    YAGURA_RETURN_IF_ERROR(number(cores[3], [&](auto v) { one.set_translated_port(v); }));
    return text(cores[4], [&](auto v) { one.set_host(std::move(v)); });
  };
  YAGURA_RETURN_IF_ERROR(end({Core::kSrcIp, Core::kSrcPort, Core::kSrcTranslatedIp,
                              Core::kSrcTranslatedPort, Core::kSrcHost},
                             *event.mutable_src()));
  YAGURA_RETURN_IF_ERROR(end({Core::kDstIp, Core::kDstPort, Core::kDstTranslatedIp,
                              Core::kDstTranslatedPort, Core::kDstHost},
                             *event.mutable_dst()));
  for (const auto& one : kCoreTexts) {
    YAGURA_RETURN_IF_ERROR(text(one.core, [&](auto v) { one.set(event, std::move(v)); }));
  }
  if (event.direction().empty()) {
    YAGURA_ASSIGN_OR_RETURN(const auto direction, DirectionOf(row));
    event.set_direction(std::string(direction));
  }
  event.set_action(ActionOf(row));
  event.set_device(hit.device());
  event.set_site(hit.site());
  if (event.src().ByteSizeLong() == 0) event.clear_src();
  if (event.dst().ByteSizeLong() == 0) event.clear_dst();
  return absl::OkStatus();
}

void EventFacts::AddSubject(size_t row, Hit& hit) const {
  auto& group = *hit.mutable_group();
  AddField(group, "site", site_->text(row), kMaxGroupValue);
  AddField(group, "device", device_->text(row), kMaxGroupValue);
  AddField(group, "host", host_->text(row), kMaxGroupValue);
  AddField(group, "src.ip", AddressText(src_ip_->text(row)), kMaxGroupValue);
  AddField(group, "user", user_->text(row), kMaxGroupValue);
  if (ActionOf(row) == event::v1::BLOCKED) AddField(group, "action", "blocked", kMaxGroupValue);
}

}  // namespace yagura::detection
