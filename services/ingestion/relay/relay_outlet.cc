#include "services/ingestion/relay/relay_outlet.h"

#include <algorithm>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/clock/proto_time.h"
#include "common/metrics/metrics.h"
#include "common/text/text.h"
#include "services/ingestion/domain/framing.h"
#include "services/ingestion/domain/intake.h"
#include "services/ingestion/domain/relay_limits.h"
#include "services/ingestion/relay/relay_spool.h"

namespace yagura::ingestion {
namespace {

// A batch is closed at so many lines or bytes, or so long after its first line.
constexpr int kBatchLines = 4096;
constexpr size_t kBatchBytes = 512 * 1024;
constexpr auto kLinger = std::chrono::milliseconds(100);

class RelayOutlet final : public LineOutlet {
 public:
  RelayOutlet(std::shared_ptr<RelaySpool> spool, std::shared_ptr<const Clock> clock, Counter* lines)
      : spool_(std::move(spool)), clock_(std::move(clock)), lines_(lines) {}

  bool WaitReady(std::chrono::milliseconds) override { return true; }
  void Refresh() override {}

  void Add(SenderState& state, std::string_view line, bool truncated, TimePoint receive_time,
           SteadyTime now) override {
    v1::RelayedBatch& relay = *batch_.mutable_relay();
    if (batch_.lines().empty()) first_ = now;
    truncated |= line.size() > kMaxLineBytes;
    line = line.substr(0, kMaxLineBytes);
    if (truncated) relay.add_cut_lines(static_cast<uint32_t>(batch_.lines_size()));
    relay.add_line_senders(PlaceOf(state.sender, relay));
    *relay.add_line_receive_times() = ToProto(receive_time);
    batch_.add_lines(line.data(), line.size());
    bytes_ += line.size();
    if (batch_.lines_size() >= kBatchLines || bytes_ >= kBatchBytes) Close();
  }

  std::optional<SteadyTime> NextDue() const override {
    if (batch_.lines().empty()) return std::nullopt;
    return first_ + kLinger;
  }
  bool has_ready() const override { return !ready_.empty(); }

  bool HandOn(bool all) override {
    if (!batch_.lines().empty() && (all || clock_->SteadyNow() - first_ >= kLinger)) Close();
    while (!ready_.empty()) {
      flowing_ = spool_->Append(ready_.front()).ok();
      if (!flowing_) return false;
      lines_->Add(ready_.front().lines_size());
      ready_.erase(ready_.begin());
    }
    return flowing_ = true;
  }
  void GiveUp() override {
    for (const v1::PushRequest& batch : ready_) spool_->NoteLost(batch);
    ready_.clear();
  }
  bool flowing() const override { return flowing_; }
  void WaitFlowing(std::chrono::milliseconds timeout) override {
    if (!flowing_) std::this_thread::sleep_for(timeout);  // the disk is asked again then
  }

 private:
  uint32_t PlaceOf(const Sender& sender, v1::RelayedBatch& relay) {
    key_ = sender.listener;
    key_ += '\n';
    key_ += sender.address.bytes();
    for (const std::string& certificate : sender.certificates) key_ += "\n" + certificate;
    const auto [found, is_new] =
        senders_.try_emplace(key_, static_cast<uint32_t>(relay.senders_size()));
    if (is_new) {
      v1::RelayedSender& who = *relay.add_senders();
      who.set_address(std::string(sender.address.bytes()));
      who.set_listener(sender.listener);
      for (const std::string& certificate : sender.certificates) {
        if (who.certificates_size() == kMaxRelayedCertificates) break;
        std::string name = ToValidUtf8(certificate);
        if (name.size() <= kMaxRelayedCertificateBytes) who.add_certificates(std::move(name));
      }
    }
    return found->second;
  }
  void Close() {
    ready_.push_back(std::exchange(batch_, {}));
    bytes_ = 0;
    senders_.clear();
  }

  const std::shared_ptr<RelaySpool> spool_;
  const std::shared_ptr<const Clock> clock_;
  Counter* const lines_;
  v1::PushRequest batch_;
  size_t bytes_ = 0;
  SteadyTime first_{};
  StringMap<uint32_t> senders_;  // of batch_
  std::string key_;
  std::vector<v1::PushRequest> ready_;
  bool flowing_ = true;
};

}  // namespace

std::unique_ptr<LineOutlet> MakeRelayOutlet(std::shared_ptr<RelaySpool> spool,
                                            std::shared_ptr<const Clock> clock, Counter* lines) {
  return std::make_unique<RelayOutlet>(std::move(spool), std::move(clock), lines);
}

}  // namespace yagura::ingestion
