#include <sodium.h>

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <thread>

#include "cli/commands/command.h"
#include "cli/data_dir.h"
#include "cli/send/line_source.h"
#include "cli/send/progress.h"
#include "cli/send/pusher.h"
#include "cli/send/syslog_sender.h"
#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/text/text.h"

namespace yagura::cli {
namespace {

constexpr size_t kBatchLines = 500;
constexpr size_t kBatchBytes = 64 * 1024;

struct SendOptions {
  std::vector<std::string> files;
  std::string to = "syslog-tcp";
  std::string address;
  std::string tenant;
  std::string parser;
  std::string source;
  std::string batch_prefix;
  TlsClientOptions tls;
  double rate = 0;
  int repeat = 1;
};

// Spreads lines over time; 0 lines a second is no limit. What is due within a tick goes at once: a
// wait for each line would cost more than sending it.
class Pace {
 public:
  explicit Pace(double lines_per_second)
      : lines_per_second_(lines_per_second), start_(std::chrono::steady_clock::now()) {}
  void Await() {
    if (lines_per_second_ <= 0) return;
    const auto due =
        start_ +
        std::chrono::duration_cast<std::chrono::steady_clock::duration>(
            std::chrono::duration<double>(static_cast<double>(sent_++) / lines_per_second_));
    if (due < now_ + kTick) return;
    std::this_thread::sleep_until(due);
    now_ = std::chrono::steady_clock::now();
  }

 private:
  static constexpr std::chrono::milliseconds kTick{1};

  const double lines_per_second_;
  const std::chrono::steady_clock::time_point start_;
  std::chrono::steady_clock::time_point now_ = start_;  // when it last waited
  uint64_t sent_ = 0;
};

std::string DataDirOf(const Program& program) {
  const std::string& told = program.globals().connection.data_dir;
  if (!told.empty() || std::getenv("YAGURA_DATA_DIR") == nullptr) return told;
  return std::getenv("YAGURA_DATA_DIR");
}

absl::StatusOr<std::string> SyslogAddress(const Program& program, const SendOptions& options) {
  if (!options.address.empty()) return options.address;
  const std::string data_dir = DataDirOf(program);
  if (data_dir.empty()) {
    return std::string(options.to == "syslog-tls" ? "127.0.0.1:6514" : "127.0.0.1:5514");
  }
  YAGURA_ASSIGN_OR_RETURN(const auto endpoints, ReadEndpoints(data_dir));
  std::string name = options.to;
  std::replace(name.begin(), name.end(), '-', '_');
  const auto at = endpoints.find(name);
  if (at == endpoints.end()) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "NO_ENDPOINT",
                     fmt::format("the suite of that data folder does not listen for {}", name));
  }
  return at->second;
}

// Of a suite that is named by its folder, the certificate that it made itself is trusted.
TlsClientOptions TlsOf(const Program& program, const SendOptions& options) {
  TlsClientOptions tls = options.tls;
  const std::string data_dir = DataDirOf(program);
  std::error_code error;
  if (tls.ca.empty() && options.address.empty() && !data_dir.empty() &&
      std::filesystem::exists(SyslogCertificateFile(data_dir), error)) {
    tls.ca = SyslogCertificateFile(data_dir);
  }
  return tls;
}

absl::Status SendSyslog(const Program& program, const SendOptions& options, LineSource& lines,
                        Progress& progress) {
  YAGURA_ASSIGN_OR_RETURN(const auto address, SyslogAddress(program, options));
  using Transport = SyslogSender::Transport;
  const Transport transport = options.to == "syslog-udp"   ? Transport::kUdp
                              : options.to == "syslog-tcp" ? Transport::kTcp
                                                           : Transport::kTls;
  YAGURA_ASSIGN_OR_RETURN(auto sender,
                          SyslogSender::Connect(address, transport, TlsOf(program, options)));
  Pace pace(options.rate);
  uint64_t too_long = 0;
  for (std::string line; lines.Next(line);) {
    pace.Await();
    const absl::Status sent = sender.Send(line);
    if (ErrorReason(sent) == "LINE_TOO_LONG") {
      ++too_long;
      continue;
    }
    YAGURA_RETURN_IF_ERROR(sent);
    progress.Add(1, line.size() + 1);
  }
  YAGURA_RETURN_IF_ERROR(sender.Finish());
  if (too_long == 0) return absl::OkStatus();
  return MakeError(
      absl::StatusCode::kOutOfRange, "LINES_TOO_LONG",
      fmt::format("{} lines do not fit into a datagram and were not sent: use syslog-tcp",
                  too_long));
}

// Makes batch ids. What is in a batch is part of its id: only the same lines for the same tenant
// are the same batch, whatever else was sent under the prefix.
class BatchIds {
 public:
  // An empty prefix: one that nobody had.
  explicit BatchIds(const std::string& prefix) : prefix_(prefix) {
    if (!prefix_.empty()) return;
    std::string random(12, '\0');
    randombytes_buf(random.data(), random.size());
    prefix_ = HexEncode(random);
  }
  std::string Next(const ingestion::v1::PushRequest& batch) {
    crypto_generichash_state state;
    crypto_generichash_init(&state, nullptr, 0, kDigestBytes);
    Update(state, batch.parent());
    for (const auto& line : batch.lines()) Update(state, line);
    std::string digest(kDigestBytes, '\0');
    crypto_generichash_final(&state, reinterpret_cast<unsigned char*>(digest.data()),
                             digest.size());
    return fmt::format("{}-{}-{}", prefix_, number_++, HexEncode(digest));
  }

 private:
  static constexpr size_t kDigestBytes = 16;
  static void Update(crypto_generichash_state& state, const std::string& text) {
    crypto_generichash_update(&state, reinterpret_cast<const unsigned char*>(text.c_str()),
                              text.size() + 1);  // the NUL divides it from the next
  }

  std::string prefix_;
  uint64_t number_ = 0;
};

absl::Status SendGrpc(Client& client, const SendOptions& options, LineSource& lines,
                      Progress& progress) {
  BatchIds ids(options.batch_prefix);
  Pusher pusher(client, {},
                [&progress](uint64_t count, uint64_t bytes) { progress.Add(count, bytes); });
  Pace pace(options.rate);
  size_t bytes = 0;
  ingestion::v1::PushRequest batch;
  const auto flush = [&]() -> absl::Status {
    if (batch.lines().empty()) return absl::OkStatus();
    batch.set_parent(TenantParent(options.tenant));
    batch.set_batch_id(ids.Next(batch));
    batch.set_parser(options.parser);
    batch.set_source(options.source);
    *batch.mutable_send_time() = ToProto(SystemClock()->Now());
    bytes = 0;
    return pusher.Send(std::exchange(batch, {}));
  };
  for (std::string line; lines.Next(line);) {
    pace.Await();
    bytes += line.size();
    batch.add_lines(std::move(line));
    if (static_cast<size_t>(batch.lines_size()) >= kBatchLines || bytes >= kBatchBytes) {
      YAGURA_RETURN_IF_ERROR(flush());
    }
  }
  YAGURA_RETURN_IF_ERROR(flush());
  YAGURA_RETURN_IF_ERROR(pusher.Finish());
  if (pusher.postponed() > 0) {
    std::cerr << fmt::format("(asked {} times to send a batch again later)\n", pusher.postponed());
  }
  if (pusher.reconnects() > 0) {
    std::cerr << fmt::format("({} reconnects; what was not acknowledged was sent again)\n",
                             pusher.reconnects());
  }
  return absl::OkStatus();
}

}  // namespace

void AddSendCommand(Program& program) {
  auto options = std::make_shared<SendOptions>();
  CLI::App& command =
      *program.app().add_subcommand("send", "Send log lines of files, as devices do");
  command.add_option("file", options->files, "Files with one line each; - is standard input")
      ->required();
  command
      .add_option("--to", options->to, "syslog-tcp, syslog-udp, syslog-tls or grpc (acknowledged)")
      ->capture_default_str()
      ->check(CLI::IsMember({"syslog-tcp", "syslog-udp", "syslog-tls", "grpc"}));
  command.add_option("--address", options->address,
                     "HOST:PORT of the syslog listener; else from --data-dir, else 127.0.0.1:5514 "
                     "(TLS: 6514)");
  command.add_option("--ca", options->tls.ca,
                     "syslog-tls: PEM file of who may vouch for the server; else that of the suite "
                     "in --data-dir, else what the system trusts");
  command.add_option("--cert", options->tls.certificate,
                     "syslog-tls: PEM file of the client certificate to show");
  command.add_option("--key", options->tls.key, "syslog-tls: PEM file of its key");
  command.add_option("--tenant", options->tenant,
                     "grpc: whose lines these are; without it the sources of the directory say");
  command.add_option("--parser", options->parser, "grpc: fortigate, syslog, json or auto");
  command.add_option("--source", options->source, "grpc: name for where the lines come from");
  command.add_option("--batch-prefix", options->batch_prefix,
                     "grpc: makes batch ids repeatable: the same files under the same prefix are "
                     "taken once, however often they are sent; other files are other batches");
  command.add_option("--rate", options->rate, "Lines a second; 0 is as fast as it goes")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 1e9));
  command.add_option("--repeat", options->repeat, "How often to send the whole")
      ->capture_default_str()
      ->check(CLI::Range(1, 1'000'000'000));
  const auto run = [&program, options](Client* client) -> absl::Status {
    YAGURA_ASSIGN_OR_RETURN(auto lines, LineSource::Open(options->files, options->repeat));
    Progress progress(lines.total_bytes());
    absl::Status status = client != nullptr ? SendGrpc(*client, *options, lines, progress)
                                            : SendSyslog(program, *options, lines, progress);
    // A damaged file ends early: what came before the damage has been sent.
    if (status.ok()) status = lines.status();
    progress.Clear();
    std::string outcome;
    if (client != nullptr) outcome = status.ok() ? ", all acknowledged" : ", acknowledged so far";
    if (status.ok() || progress.lines() > 0) Write(progress.Summary() + outcome + "\n");
    if (lines.long_lines() > 0) {
      std::cerr << fmt::format(
          "({} lines are longer than {} bytes: the rest of each is cut off and "
          "the event marked TRUNCATED)\n",
          lines.long_lines(), LineSource::kKeptBytes);
    }
    return status;
  };
  program.DoEither(
      command, [options] { return options->to == "grpc"; },
      [run](Client& client) { return run(&client); }, [run] { return run(nullptr); });
}

}  // namespace yagura::cli
