#include "services/ingestion/domain/quarantine.h"

#include <algorithm>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/event/batch_codec.h"
#include "common/text/text.h"

namespace yagura::ingestion {

void Quarantine::Note(const Sender& sender, const ParsedLine& line, bool refused,
                      TimePoint receive_time) {
  const std::string id =
      event::BatchIdOf({sender.listener, sender.address.bytes(), sender.credential,
                        line.device_serial, line.event.virtual_context});
  const std::lock_guard lock(mutex_);
  auto found = senders_.find(id);
  if (found == senders_.end()) {
    MakeRoom();
    found = senders_.try_emplace(id).first;
    found->second.sender = sender;
    v1::QuarantinedSource& fresh = found->second.shown;
    fresh.set_name(fmt::format("tenants/{}/quarantinedSources/{}", kQuarantineTenant, id));
    fresh.set_listener(sender.listener);
    fresh.set_address(sender.address.ToString());
    fresh.set_credential(sender.credential);
    fresh.set_device_serial(ToValidUtf8(line.device_serial));
    fresh.set_virtual_context(ToValidUtf8(line.event.virtual_context));
    *fresh.mutable_first_time() = ToProto(receive_time);
  }
  found->second.refused = refused;
  v1::QuarantinedSource& source = found->second.shown;
  source.set_host(ToValidUtf8(line.event.host));
  source.set_product(std::string(line.event.product));
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
  senders_.erase(std::min_element(senders_.begin(), senders_.end(),
                                  [&](const auto& a, const auto& b) { return time(a) < time(b); }));
}

std::vector<v1::QuarantinedSource> Quarantine::List(const SourceMap& sources) const {
  std::vector<v1::QuarantinedSource> list;
  {
    const std::lock_guard lock(mutex_);
    list.reserve(senders_.size());
    for (const auto& [id, entry] : senders_) {
      const auto& shown = entry.shown;
      const SenderSources known = sources.ForSender(entry.sender);
      if (entry.refused || known.Find(shown.device_serial(), shown.virtual_context()) == nullptr) {
        list.push_back(shown);
      }
    }
  }
  std::sort(list.begin(), list.end(), [](const auto& a, const auto& b) {
    return std::tuple(b.line_count(), std::string_view(a.name())) <
           std::tuple(a.line_count(), std::string_view(b.name()));
  });
  return list;
}

}  // namespace yagura::ingestion
