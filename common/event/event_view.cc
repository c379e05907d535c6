#include "common/event/event_view.h"

#include <arpa/inet.h>

#include <cstring>

#include "common/clock/proto_time.h"
#include "common/text/text.h"
#include "yagura/event/v1/event.pb.h"

namespace yagura::event {
namespace {

// Four decimal parts without leading zeros (some systems read those as octal), or nothing.
std::optional<uint32_t> ParseIpv4(std::string_view text) {
  uint32_t address = 0;
  size_t at = 0;
  for (int part = 0; part < 4; ++part) {
    if (part > 0) {
      if (at >= text.size() || text[at] != '.') return std::nullopt;
      ++at;
    }
    uint32_t value = 0;
    const size_t start = at;
    while (at < text.size() && text[at] >= '0' && text[at] <= '9' && at - start < 3) {
      value = value * 10 + static_cast<uint32_t>(text[at++] - '0');
    }
    const size_t digits = at - start;
    if (digits == 0 || value > 255 || (digits > 1 && text[start] == '0')) return std::nullopt;
    address = address << 8 | value;
  }
  if (at != text.size()) return std::nullopt;
  return address;
}

std::string Utf8(std::string_view text) {
  return IsValidUtf8(text) ? std::string(text) : ToValidUtf8(text);
}

bool HasValue(const EndpointView& end) {
  return !end.ip.empty() || end.port != 0 || !end.translated_ip.empty() ||
         end.translated_port != 0 || !end.host.empty() || !end.interface.empty() ||
         !end.zone.empty() || !end.mac.empty() || !end.country.empty();
}

void EndpointToProto(const EndpointView& view, v1::Endpoint* end) {
  end->set_ip(view.ip.bytes().data(), view.ip.bytes().size());
  end->set_port(view.port);
  end->set_translated_ip(view.translated_ip.bytes().data(), view.translated_ip.bytes().size());
  end->set_translated_port(view.translated_port);
  end->set_host(Utf8(view.host));
  end->set_interface(Utf8(view.interface));
  end->set_zone(Utf8(view.zone));
  end->set_mac(Utf8(view.mac));
  end->set_country(Utf8(view.country));
}

EndpointView EndpointFromProto(const v1::Endpoint& end) {
  return {IpAddress::FromBytes(end.ip()),
          end.port(),
          IpAddress::FromBytes(end.translated_ip()),
          end.translated_port(),
          end.host(),
          end.interface(),
          end.zone(),
          end.mac(),
          end.country()};
}

}  // namespace

IpAddress IpAddress::FromBytes(std::string_view bytes) {
  IpAddress address;
  if (bytes.size() == 4 || bytes.size() == 16) {
    std::memcpy(address.bytes_.data(), bytes.data(), bytes.size());
    address.size_ = static_cast<uint8_t>(bytes.size());
  }
  return address;
}

std::optional<IpAddress> IpAddress::Parse(std::string_view text) {
  if (const auto four = ParseIpv4(text)) {
    IpAddress address;
    const uint32_t network = htonl(*four);
    std::memcpy(address.bytes_.data(), &network, 4);
    address.size_ = 4;
    return address;
  }
  if (text.size() >= 2 && text.front() == '[' && text.back() == ']') {
    text = text.substr(1, text.size() - 2);
  }
  char buffer[INET6_ADDRSTRLEN];
  if (text.size() < 2 || text.size() >= sizeof buffer || text.find(':') == text.npos) {
    return std::nullopt;
  }
  std::memcpy(buffer, text.data(), text.size());
  buffer[text.size()] = '\0';
  IpAddress address;
  if (inet_pton(AF_INET6, buffer, address.bytes_.data()) != 1) return std::nullopt;
  address.size_ = 16;
  return address;
}

std::string IpAddress::ToString() const {
  if (empty()) return {};
  char buffer[INET6_ADDRSTRLEN];
  inet_ntop(size_ == 4 ? AF_INET : AF_INET6, bytes_.data(), buffer, sizeof buffer);
  return buffer;
}

void EventView::Clear() {
  auto kept = std::move(fields);
  kept.clear();
  *this = EventView{};
  fields = std::move(kept);
}

void ToProto(const EventView& view, v1::Event* event) {
  event->Clear();
  event->set_site(Utf8(view.site));
  event->set_device(Utf8(view.device));
  if (view.receive_time) *event->mutable_receive_time() = yagura::ToProto(*view.receive_time);
  if (view.event_time) *event->mutable_event_time() = yagura::ToProto(*view.event_time);
  event->set_raw(view.raw.data(), view.raw.size());
  event->set_product(Utf8(view.product));
  event->set_category(Utf8(view.category));
  event->set_severity(static_cast<v1::Severity>(view.severity));
  event->set_action(static_cast<v1::Action>(view.action));
  if (HasValue(view.src)) EndpointToProto(view.src, event->mutable_src());
  if (HasValue(view.dst)) EndpointToProto(view.dst, event->mutable_dst());
  event->set_message(view.message.data(), view.message.size());
  for (const FieldView& field : view.fields) {
    v1::Field* out = event->add_fields();
    out->set_name(Utf8(field.name));
    out->set_value(field.value.data(), field.value.size());
  }
  event->set_protocol(Utf8(view.protocol));
  event->set_app(Utf8(view.app));
  event->set_bytes_out(view.bytes_out);
  event->set_bytes_in(view.bytes_in);
  event->set_packets_out(view.packets_out);
  event->set_packets_in(view.packets_in);
  if (view.duration) *event->mutable_duration() = ToProtoDuration(*view.duration);
  event->set_rule(Utf8(view.rule));
  event->set_signature_id(Utf8(view.signature_id));
  event->set_signature(Utf8(view.signature));
  event->set_user(Utf8(view.user));
  event->set_url(Utf8(view.url));
  event->set_session(Utf8(view.session));
  event->set_virtual_context(Utf8(view.virtual_context));
  event->set_direction(Utf8(view.direction));
  event->set_program(Utf8(view.program));
  event->set_host(Utf8(view.host));
  event->set_origin(Utf8(view.origin));
  for (int flaw = 1; flaw < 64; ++flaw) {
    if (view.flaws >> flaw & 1) event->add_flaws(static_cast<v1::Flaw>(flaw));
  }
  event->set_parse_error(Utf8(view.parse_error));
  event->set_vendor_event_id(Utf8(view.vendor_event_id));
}

void FromProto(const v1::Event& event, EventView* view) {
  view->Clear();
  view->site = event.site();
  view->device = event.device();
  if (event.has_receive_time()) view->receive_time = yagura::FromProto(event.receive_time());
  if (event.has_event_time()) view->event_time = yagura::FromProto(event.event_time());
  view->raw = event.raw();
  view->product = event.product();
  view->category = event.category();
  view->severity = event.severity();
  view->action = event.action();
  view->src = EndpointFromProto(event.src());
  view->dst = EndpointFromProto(event.dst());
  view->message = event.message();
  for (const v1::Field& field : event.fields()) {
    view->fields.push_back({field.name(), field.value()});
  }
  view->protocol = event.protocol();
  view->app = event.app();
  view->bytes_out = event.bytes_out();
  view->bytes_in = event.bytes_in();
  view->packets_out = event.packets_out();
  view->packets_in = event.packets_in();
  if (event.has_duration()) view->duration = yagura::FromProto(event.duration());
  view->rule = event.rule();
  view->signature_id = event.signature_id();
  view->signature = event.signature();
  view->user = event.user();
  view->url = event.url();
  view->session = event.session();
  view->virtual_context = event.virtual_context();
  view->direction = event.direction();
  view->program = event.program();
  view->host = event.host();
  view->origin = event.origin();
  for (const int flaw : event.flaws()) {
    if (flaw > 0 && flaw < 64) view->flaws |= uint64_t{1} << flaw;
  }
  view->parse_error = event.parse_error();
  view->vendor_event_id = event.vendor_event_id();
}

}  // namespace yagura::event
