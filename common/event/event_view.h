#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock/clock.h"

namespace yagura::event::v1 {
class Event;
}

// An Event whose texts are borrowed: what the hot path (parse, normalise, batch) works on instead
// of the protobuf message, which would allocate for every field. Field for field the same as
// yagura.event.v1.Event; see there for meanings.
namespace yagura::event {

// An IPv4 or IPv6 address in network order, or nothing.
class IpAddress {
 public:
  IpAddress() = default;
  // 4 or 16 bytes; anything else gives the empty address.
  static IpAddress FromBytes(std::string_view bytes);
  // "192.0.2.1", "2001:db8::1", also with brackets. Nothing where the text is no address.
  static std::optional<IpAddress> Parse(std::string_view text);

  std::string_view bytes() const { return {bytes_.data(), size_}; }
  bool empty() const { return size_ == 0; }
  std::string ToString() const;
  bool operator==(const IpAddress&) const = default;

 private:
  std::array<char, 16> bytes_{};
  uint8_t size_ = 0;
};

struct FieldView {
  std::string_view name;
  std::string_view value;
};

struct EndpointView {
  IpAddress ip;
  uint32_t port = 0;
  IpAddress translated_ip;
  uint32_t translated_port = 0;
  std::string_view host;
  std::string_view interface;
  std::string_view zone;
  std::string_view mac;
  std::string_view country;
};

struct EventView {
  std::string_view site;
  std::string_view device;
  std::optional<TimePoint> receive_time;
  std::optional<TimePoint> event_time;
  std::string_view raw;
  std::string_view product;
  std::string_view category;
  int severity = 0;  // v1::Severity
  int action = 0;    // v1::Action
  EndpointView src;
  EndpointView dst;
  std::string_view message;
  std::vector<FieldView> fields;
  std::string_view protocol;
  std::string_view app;
  uint64_t bytes_out = 0;
  uint64_t bytes_in = 0;
  uint64_t packets_out = 0;
  uint64_t packets_in = 0;
  std::optional<std::chrono::nanoseconds> duration;
  std::string_view rule;
  std::string_view signature_id;
  std::string_view signature;
  std::string_view user;
  std::string_view url;
  std::string_view session;
  std::string_view virtual_context;
  std::string_view direction;
  std::string_view program;
  std::string_view host;
  std::string_view origin;
  uint64_t flaws = 0;  // bit n is set for v1::Flaw n
  std::string_view parse_error;
  std::string_view vendor_event_id;

  // As new, but keeps the memory of `fields`.
  void Clear();
};

// Everything but id and tenant, which a batch knows. Texts of `string` fields become valid UTF-8.
void ToProto(const EventView& view, v1::Event* event);
// Borrows from `event`, which must outlive the view.
void FromProto(const v1::Event& event, EventView* view);

}  // namespace yagura::event
