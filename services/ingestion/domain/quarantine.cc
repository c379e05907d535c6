#include "services/ingestion/domain/quarantine.h"

#include <algorithm>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/event/batch_codec.h"
#include "common/text/text.h"

namespace yagura::ingestion {

namespace {

// The digest of the client certificate, which stands first.
std::string_view CertificateOf(const Sender& sender) {
  return sender.certificates.empty() ? std::string_view() : sender.certificates.front();
}

std::string KeyOf(const Sender& sender) {
  return event::BatchIdOf(
      {sender.listener, sender.address.bytes(), sender.credential, CertificateOf(sender)});
}

// Valid UTF-8 of a size that can be shown.
std::string Shown(std::string_view text) {
  return ToValidUtf8(text.substr(0, Quarantine::kMaxTextBytes));
}

}  // namespace

Quarantine::Entry& Quarantine::RowOf(const Sender& sender, std::string_view serial,
                                     std::string_view context, TimePoint time) {
  const std::string id =
      event::BatchIdOf({sender.listener, sender.address.bytes(), sender.credential,
                        CertificateOf(sender), serial, context});
  if (const auto found = senders_.find(id); found != senders_.end()) return found->second;
  size_t& devices = devices_of_[KeyOf(sender)];
  if (devices >= kMaxDevices && !(serial.empty() && context.empty())) {
    return RowOf(sender, {}, {}, time);
  }
  ++devices;
  MakeRoom();
  Entry& entry = senders_[id];
  entry.sender = sender;
  v1::QuarantinedSource& fresh = entry.shown;
  fresh.set_name(fmt::format("tenants/{}/quarantinedSources/{}", kQuarantineTenant, id));
  fresh.set_listener(sender.listener);
  fresh.set_address(sender.address.ToString());
  fresh.set_credential(sender.credential);
  for (const std::string& name : sender.certificates) fresh.add_certificates(name);
  fresh.set_device_serial(Shown(serial));
  fresh.set_virtual_context(Shown(context));
  *fresh.mutable_first_time() = ToProto(time);
  return entry;
}

void Quarantine::Note(const Sender& sender, const ParsedLine& line, bool refused,
                      TimePoint receive_time) {
  const std::lock_guard lock(mutex_);
  Entry& entry = RowOf(sender, line.device_serial.substr(0, kMaxTextBytes),
                       line.event.virtual_context.substr(0, kMaxTextBytes), receive_time);
  entry.refused = refused;
  v1::QuarantinedSource& source = entry.shown;
  source.set_host(Shown(line.event.host));
  source.set_product(Shown(line.event.product));
  source.set_line_count(source.line_count() + 1);
  source.set_byte_count(source.byte_count() + line.event.raw.size());
  *source.mutable_last_time() = ToProto(receive_time);
  if (source.samples_size() < kMaxSamples) {
    source.add_samples(std::string(line.event.raw.substr(0, kMaxSampleBytes)));
  }
}

void Quarantine::MakeRoom() {
  if (senders_.size() < kMaxSenders) return;
  const auto time = [](const auto& entry) { return FromProto(entry.second.shown.last_time()); };
  const auto oldest =
      std::min_element(senders_.begin(), senders_.end(),
                       [&](const auto& a, const auto& b) { return time(a) < time(b); });
  const auto devices = devices_of_.find(KeyOf(oldest->second.sender));
  if (devices != devices_of_.end() && --devices->second == 0) devices_of_.erase(devices);
  senders_.erase(oldest);
}

std::vector<v1::QuarantinedSource> Quarantine::List(const SourceMap& sources) const {
  // Listeners wait for the lock: whose the lines are by now is asked without it.
  std::vector<Entry> entries;
  {
    const std::lock_guard lock(mutex_);
    entries.reserve(senders_.size());
    for (const auto& [id, entry] : senders_) entries.push_back(entry);
  }
  std::vector<v1::QuarantinedSource> list;
  for (Entry& entry : entries) {
    const SenderSources known = sources.ForSender(entry.sender);
    if (entry.refused ||
        known.Find(entry.shown.device_serial(), entry.shown.virtual_context()) == nullptr) {
      list.push_back(std::move(entry.shown));
    }
  }
  std::sort(list.begin(), list.end(), [](const auto& a, const auto& b) {
    return std::tuple(b.line_count(), std::string_view(a.name())) <
           std::tuple(a.line_count(), std::string_view(b.name()));
  });
  return list;
}

}  // namespace yagura::ingestion
