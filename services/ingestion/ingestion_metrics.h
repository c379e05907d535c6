#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace yagura {
class Counter;
class Gauge;
class MetricsRegistry;
}  // namespace yagura

namespace yagura::ingestion {

class CoverageLedger;
struct ReadyBatch;

// What ingestion counts, by tenant and source. Thread-safe.
class IngestionMetrics {
 public:
  // What comes in and is lost goes to the ledger, too (null: there is none).
  explicit IngestionMetrics(std::shared_ptr<MetricsRegistry> registry,
                            std::shared_ptr<CoverageLedger> ledger = nullptr);

  // A batch left its intake: lines, bytes, parsed and unparsed.
  void CountReceived(const ReadyBatch& batch);
  void CountDelivered(const ReadyBatch& batch);
  void CountSpooled(const ReadyBatch& batch);
  void CountLost(const ReadyBatch& batch);
  // A pushed batch was made to wait, as the flow Redis is full or no sources are known.
  void CountPushWait();
  void SetSpoolBytes(uint64_t bytes);
  // Bytes of the spool were no sound record and were left out.
  void CountSpoolDamage(uint64_t bytes);
  // Set aside on disk until somebody looks at them.
  void SetSpoolDamagedBytes(uint64_t bytes);
  // Datagrams that the kernel dropped because we did not read in time.
  void CountKernelDrops(const std::string& listener, uint64_t datagrams);
  // All of them so far.
  uint64_t KernelDrops(const std::string& listener) const;
  // A relay tells of such of its own host, shared out among senders.
  void CountRelayedDrops(const ReadyBatch& batch);
  void CountConnections(const std::string& listener, int change);
  // We ended or refused it: "idle", "memory", "limit", "handshake" (it failed),
  // "handshake_timeout", "handshakes" (too many at once), "slow" (a head, a body, the taking of an
  // answer took too long), "descriptors" (no more for this input).
  void CountConnectionsCut(const std::string& listener, const char* reason);
  // Files that are followed, and how many of their bytes wait to be read.
  void SetFiles(const std::string& listener, size_t files, uint64_t unread_bytes);
  // A file was emptied or written anew and is read from its start.
  void CountFileRestart(const std::string& listener);
  // File descriptors that inputs hold, and may hold.
  void SetDescriptors(uint64_t held, uint64_t limit);
  // An input was to have no more of them.
  void CountDescriptorRefusal(const std::string& input);
  // The kernel had no descriptor or memory for another connection; accepting waits for a while.
  void CountAcceptPause(const std::string& listener);
  // By status code.
  void CountHttpAnswer(int status);

 private:
  Counter* KernelDropsOf(const std::string& listener) const;
  Counter* Lines(const char* name, const char* help, const ReadyBatch& batch);

  const std::shared_ptr<MetricsRegistry> registry_;
  const std::shared_ptr<CoverageLedger> ledger_;
};

}  // namespace yagura::ingestion
