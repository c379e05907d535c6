#include "services/ingestion/ingestion_metrics.h"

#include "common/metrics/metrics.h"
#include "services/ingestion/domain/coverage_ledger.h"
#include "services/ingestion/domain/intake.h"

namespace yagura::ingestion {
namespace {

std::string SourceIdOf(const ReadyBatch& batch) {
  return batch.source.substr(batch.source.rfind('/') + 1);
}

}  // namespace

IngestionMetrics::IngestionMetrics(std::shared_ptr<MetricsRegistry> registry,
                                   std::shared_ptr<CoverageLedger> ledger)
    : registry_(std::move(registry)), ledger_(std::move(ledger)) {}

Counter* IngestionMetrics::Lines(const char* name, const char* help, const ReadyBatch& batch) {
  return registry_->GetCounter(name, help,
                               {{"tenant", batch.tenant}, {"source", SourceIdOf(batch)}});
}

void IngestionMetrics::CountReceived(const ReadyBatch& batch) {
  if (ledger_ != nullptr) ledger_->Received(batch);
  Lines("yagura_ingestion_lines_total", "Lines received", batch)
      ->Add(static_cast<double>(batch.events));
  Lines("yagura_ingestion_bytes_total", "Bytes of the lines received", batch)
      ->Add(static_cast<double>(batch.bytes));
  Lines("yagura_ingestion_parsed_lines_total", "Lines that a parser recognised", batch)
      ->Add(static_cast<double>(batch.events - batch.unparsed));
  Lines("yagura_ingestion_unparsed_lines_total", "Lines that no parser recognised", batch)
      ->Add(static_cast<double>(batch.unparsed));
}

void IngestionMetrics::CountDelivered(const ReadyBatch& batch) {
  Lines("yagura_ingestion_delivered_lines_total", "Lines that reached the event streams at once",
        batch)
      ->Add(static_cast<double>(batch.events));
}

void IngestionMetrics::CountSpooled(const ReadyBatch& batch) {
  Lines("yagura_ingestion_spooled_lines_total", "Lines that went to the disk spool first", batch)
      ->Add(static_cast<double>(batch.events));
}

void IngestionMetrics::CountLost(const ReadyBatch& batch) {
  if (ledger_ != nullptr) ledger_->Lost(batch);
  Lines("yagura_ingestion_lost_lines_total",
        "Lines given up because neither the streams nor the spool took them", batch)
      ->Add(static_cast<double>(batch.events));
}

void IngestionMetrics::CountPushWait() {
  registry_
      ->GetCounter("yagura_ingestion_push_waits_total",
                   "Pauses of pushed batches while the flow Redis is full or no sources are known")
      ->Add();
}

void IngestionMetrics::SetSpoolBytes(uint64_t bytes) {
  registry_->GetGauge("yagura_ingestion_spool_bytes", "Bytes in the disk spool")
      ->Set(static_cast<double>(bytes));
}

void IngestionMetrics::CountSpoolDamage(uint64_t bytes) {
  registry_
      ->GetCounter("yagura_ingestion_spool_damages_total",
                   "Places in the spool that were no sound record and were left out")
      ->Add();
  registry_
      ->GetCounter("yagura_ingestion_spool_damaged_bytes_total",
                   "Bytes of the spool that were no sound record and were left out")
      ->Add(static_cast<double>(bytes));
}

void IngestionMetrics::SetSpoolDamagedBytes(uint64_t bytes) {
  registry_
      ->GetGauge("yagura_ingestion_spool_damaged_bytes",
                 "Damaged bytes of the spool that are set aside on disk")
      ->Set(static_cast<double>(bytes));
}

void IngestionMetrics::CountKernelDrops(const std::string& listener, uint64_t datagrams) {
  if (ledger_ != nullptr) ledger_->Dropped(listener, datagrams);
  KernelDropsOf(listener)->Add(static_cast<double>(datagrams));
}

void IngestionMetrics::CountRelayedDrops(const ReadyBatch& batch) {
  if (ledger_ != nullptr) ledger_->DroppedFar(batch);
  registry_
      ->GetCounter("yagura_ingestion_relayed_kernel_drops_total",
                   "Datagrams that the kernel of a relay's host dropped before the relay read them")
      ->Add(static_cast<double>(batch.events));
}

uint64_t IngestionMetrics::KernelDrops(const std::string& listener) const {
  return static_cast<uint64_t>(KernelDropsOf(listener)->Value());
}

Counter* IngestionMetrics::KernelDropsOf(const std::string& listener) const {
  return registry_->GetCounter("yagura_ingestion_kernel_drops_total",
                               "Datagrams that the kernel dropped before we read them",
                               {{"listener", listener}});
}

void IngestionMetrics::CountConnectionsCut(const std::string& listener, const char* reason) {
  registry_
      ->GetCounter("yagura_ingestion_connections_cut_total",
                   "Connections that were closed or refused by ingestion",
                   {{"listener", listener}, {"reason", reason}})
      ->Add();
}

void IngestionMetrics::SetFiles(const std::string& listener, size_t files, uint64_t unread_bytes) {
  registry_->GetGauge("yagura_ingestion_files", "Files that are followed", {{"listener", listener}})
      ->Set(static_cast<double>(files));
  registry_
      ->GetGauge("yagura_ingestion_file_unread_bytes", "Bytes of these files that wait to be read",
                 {{"listener", listener}})
      ->Set(static_cast<double>(unread_bytes));
}

void IngestionMetrics::CountFileRestart(const std::string& listener) {
  registry_
      ->GetCounter("yagura_ingestion_file_restarts_total",
                   "Files that were emptied or written anew and are read from their start",
                   {{"listener", listener}})
      ->Add();
}

void IngestionMetrics::SetDescriptors(uint64_t held, uint64_t limit) {
  registry_->GetGauge("yagura_ingestion_descriptors", "File descriptors that inputs hold")
      ->Set(static_cast<double>(held));
  registry_->GetGauge("yagura_ingestion_descriptors_limit", "File descriptors that inputs may hold")
      ->Set(static_cast<double>(limit));
}

void IngestionMetrics::CountDescriptorRefusal(const std::string& input) {
  registry_
      ->GetCounter("yagura_ingestion_descriptors_refused_total",
                   "Connections and files left out because inputs hold too many descriptors",
                   {{"listener", input}})
      ->Add();
}

void IngestionMetrics::CountAcceptPause(const std::string& listener) {
  registry_
      ->GetCounter("yagura_ingestion_accept_pauses_total",
                   "Times that accepting waited since the kernel had nothing for a connection",
                   {{"listener", listener}})
      ->Add();
}

void IngestionMetrics::CountHttpAnswer(int status) {
  registry_
      ->GetCounter("yagura_ingestion_http_answers_total", "Answers to requests over HTTP",
                   {{"status", std::to_string(status)}})
      ->Add();
}

void IngestionMetrics::CountConnections(const std::string& listener, int change) {
  registry_
      ->GetCounter(change > 0 ? "yagura_ingestion_connections_opened_total"
                              : "yagura_ingestion_connections_closed_total",
                   change > 0 ? "Connections accepted" : "Connections that ended",
                   {{"listener", listener}})
      ->Add();
}

}  // namespace yagura::ingestion
