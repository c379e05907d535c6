#include "services/ingestion/settings.h"

#include "fmt/format.h"

#include "common/config/settings_reader.h"

namespace yagura::ingestion {

namespace {

MultiLineOptions ReadMultiLine(config::SettingsReader& parent, std::string_view key,
                               std::string_view of) {
  using std::chrono::milliseconds;
  MultiLineOptions options;
  auto reader = parent.Section(key, fmt::format("Which lines of {} belong together.", of));
  options.start = reader.String(
      "start", "",
      "Expression (RE2): a line in which it is found begins an event; empty: see next.");
  options.continuation = reader.String(
      "continuation", "",
      "Expression (RE2): a line in which it is found belongs to the event before it; both empty: "
      "each line is an event.");
  options.max_lines = static_cast<size_t>(
      reader.Integer("max_lines", static_cast<int64_t>(options.max_lines), 2, 100'000,
                     "An event of more lines is cut, with the mark; the rest is another."));
  options.max_bytes =
      reader.Bytes("max_bytes", options.max_bytes, 256, kMaxLineBytes, "The same by its bytes.");
  options.timeout =
      reader.Duration("timeout", options.timeout, milliseconds(10), std::chrono::minutes(10),
                      "An event to which no line was added for so long is whole.");
  return options;
}

}  // namespace

absl::StatusOr<Settings> ReadSettings(config::SettingsReader& reader) {
  using std::chrono::milliseconds;
  using std::chrono::minutes;
  using std::chrono::seconds;
  Settings settings;
  auto events = reader.Section("events", "The stream topic \"events\".");
  settings.events.shards = static_cast<int>(events.Integer(
      "shards", settings.events.shards, 1, 256,
      "Shards; the same for everybody who writes or reads the topic, and never changed later."));
  settings.events.readers =
      events.Strings("readers", settings.events.readers,
                     "Readers whose progress keeps entries from being trimmed.");
  settings.coverage = stream::ReadCoverageTopic(reader, settings.coverage);
  settings.coverage_interval =
      reader.Duration("coverage_interval", settings.coverage_interval, milliseconds(100),
                      minutes(10), "How often it is told what came in and what was lost.");
  settings.syslog_udp =
      reader.String("syslog_udp", settings.syslog_udp, "Address of syslog over UDP; empty: none.");
  settings.syslog_tcp =
      reader.String("syslog_tcp", settings.syslog_tcp, "Address of syslog over TCP; empty: none.");
  settings.syslog_tcp_multi_line =
      ReadMultiLine(reader, "syslog_tcp_multiline", "a connection of syslog over TCP");
  settings.syslog_tls = reader.String("syslog_tls", settings.syslog_tls,
                                      "Address of syslog over TLS (1.2 and later); empty: none.");
  settings.syslog_tls_certificate =
      reader.String("syslog_tls_certificate", settings.syslog_tls_certificate.string(),
                    "PEM file: the server's certificate, then those that vouch for it. Files of "
                    "certificates that change are read again within a minute.");
  settings.syslog_tls_key = reader.String("syslog_tls_key", settings.syslog_tls_key.string(),
                                          "PEM file with the server's key.");
  settings.syslog_tls_client_ca = reader.String(
      "syslog_tls_client_ca", settings.syslog_tls_client_ca.string(),
      "PEM file: authorities whose client certificates are trusted, or single such certificates; "
      "empty: clients are not asked for one.");
  settings.syslog_tls_require_client_certificate = reader.Boolean(
      "syslog_tls_require_client_certificate", settings.syslog_tls_require_client_certificate,
      "Refuse who shows no certificate; else it is a choice of the client.");
  settings.tls_threads = static_cast<int>(
      reader.Integer("tls_threads", settings.tls_threads, 1, 64, "Threads that read TLS."));
  settings.tls_handshake_timeout =
      reader.Duration("tls_handshake_timeout", settings.tls_handshake_timeout, milliseconds(100),
                      minutes(5), "A connection whose TLS handshake takes longer is closed.");
  settings.tls_handshakes = static_cast<int>(reader.Integer(
      "tls_handshakes", settings.tls_handshakes, 1, 100'000,
      "Connections of one TLS thread, or over HTTPS, that may be in their handshake; of more, the "
      "oldest is closed."));
  settings.syslog_tls_multi_line =
      ReadMultiLine(reader, "syslog_tls_multiline", "a connection of syslog over TLS");
  settings.http = reader.String(
      "http", settings.http,
      "Address of NDJSON and HEC over HTTP without TLS, for senders on this host; empty: none.");
  settings.https = reader.String(
      "https", settings.https,
      "Address of the same over TLS (1.2 and later); empty: none. What is set for http and for TLS "
      "handshakes counts for it, too.");
  settings.https_certificate =
      reader.String("https_certificate", settings.https_certificate.string(),
                    "PEM file: the certificate of the HTTPS port, then those that vouch for it. "
                    "Files of certificates that change are read again within a minute.");
  settings.https_key = reader.String("https_key", settings.https_key.string(),
                                     "PEM file with the key of the HTTPS port.");
  settings.https_client_ca = reader.String(
      "https_client_ca", settings.https_client_ca.string(),
      "PEM file: authorities whose client certificates may stand in for an API key, or single such "
      "certificates; empty: clients are not asked for one.");
  settings.https_require_client_certificate =
      reader.Boolean("https_require_client_certificate", settings.https_require_client_certificate,
                     "Refuse who shows no certificate; else it is a choice of the client.");
  settings.http_multi_line =
      ReadMultiLine(reader, "http_multiline", "a request to /services/collector/raw");
  settings.http_threads = static_cast<int>(reader.Integer(
      "http_threads", settings.http_threads, 1, 64,
      "Threads that take requests over HTTP; 32 requests wait for each, more are refused."));
  settings.http_connections =
      static_cast<int>(reader.Integer("http_connections", settings.http_connections, 1, 100'000,
                                      "Connections over HTTP at once; more are closed."));
  settings.http_connections_per_address = static_cast<int>(
      reader.Integer("http_connections_per_address", settings.http_connections_per_address, 1,
                     100'000, "The same from one address, of IPv6 from one /64; a proxy is one."));
  settings.http_timeout = reader.Duration(
      "http_timeout", settings.http_timeout, seconds(1), minutes(10),
      "A connection over HTTP whose head, or then whose body, takes longer to come in is closed.");
  settings.http_body_bytes =
      reader.Bytes("http_body_bytes", settings.http_body_bytes, 1024, 256u << 20,
                   "Largest body over HTTP, as it comes; four times that after inflation.");
  settings.http_pending_bytes =
      reader.Bytes("http_pending_bytes", settings.http_pending_bytes, 1024, 1ull << 40,
                   "Bodies of all requests over HTTP that are coming in or waiting; beyond it they "
                   "are refused.");
  settings.otlp =
      reader.String("otlp", settings.otlp, "Address of OTLP logs over gRPC; empty: none.");
  settings.otlp_certificate =
      reader.String("otlp_certificate", settings.otlp_certificate,
                    "PEM file with the certificate of the OTLP port; empty: no TLS there.");
  settings.otlp_key =
      reader.String("otlp_key", settings.otlp_key, "PEM file with the key of the OTLP port.");
  settings.otlp_threads = static_cast<int>(reader.Integer("otlp_threads", settings.otlp_threads, 2,
                                                          256, "Threads that take OTLP requests."));
  settings.otlp_request_bytes =
      reader.Bytes("otlp_request_bytes", settings.otlp_request_bytes, 1024, 256u << 20,
                   "Largest request over OTLP, after decompression.");
  settings.otlp_memory_bytes =
      reader.Bytes("otlp_memory_bytes", settings.otlp_memory_bytes, 16u << 20, 1ull << 40,
                   "Bytes of requests over OTLP that are coming in or waiting; beyond it they are "
                   "refused.");
  settings.otlp_connections_per_address = static_cast<int>(reader.Integer(
      "otlp_connections_per_address", settings.otlp_connections_per_address, 1, 100'000,
      "Connections over OTLP from one address, of IPv6 from one /64; a proxy is one."));
  settings.otlp_idle_timeout =
      reader.Duration("otlp_idle_timeout", settings.otlp_idle_timeout, seconds(1), minutes(24 * 60),
                      "A connection over OTLP without a request for so long is closed.");
  for (auto& section : reader.Sections("files", "Groups of files that are followed.")) {
    auto& files = settings.files.emplace_back();
    files.name = section.String("name", "file", "What sources match by as listener.");
    files.paths = section.Strings("paths", {},
                                  "Patterns of paths, as of glob(3). They must match the files "
                                  "that are written, and not the copies that copytruncate makes.");
    files.multi_line = ReadMultiLine(section, "multiline", "a file");
  }
  settings.files_interval =
      reader.Duration("files_interval", settings.files_interval, milliseconds(10), minutes(1),
                      "How often files are looked at.");
  settings.files_limit = static_cast<int>(reader.Integer("files_limit", settings.files_limit, 1,
                                                         100'000, "Files followed in one group."));
  settings.files_rotated_wait =
      reader.Duration("files_rotated_wait", settings.files_rotated_wait, milliseconds(0),
                      std::chrono::hours(24 * 7),
                      "A file that was renamed to a name that is not followed is read until it has "
                      "not grown for so long.");
  settings.files_remember = std::chrono::duration_cast<seconds>(reader.Duration(
      "files_remember", settings.files_remember, minutes(1), std::chrono::hours(24 * 400),
      "How far files were read that are not met any more is remembered for so long."));
  settings.files_remembered = static_cast<int>(
      reader.Integer("files_remembered", settings.files_remembered, 0, 100'000,
                     "The same of so many files a group; of more, the oldest go."));
  settings.udp_threads = static_cast<int>(
      reader.Integer("udp_threads", settings.udp_threads, 1, 64, "Threads that read UDP."));
  settings.tcp_threads = static_cast<int>(
      reader.Integer("tcp_threads", settings.tcp_threads, 1, 64, "Threads that read TCP."));
  settings.tcp_connections = static_cast<int>(
      reader.Integer("tcp_connections", settings.tcp_connections, 1, 1'000'000,
                     "Connections that one TCP or TLS thread holds; more are refused."));
  settings.tcp_idle_timeout = reader.Duration(
      "tcp_idle_timeout", settings.tcp_idle_timeout, milliseconds(0), std::chrono::hours(24 * 7),
      "A TCP or TLS connection that sends nothing for so long is closed; 0: never.");
  settings.tcp_pending_bytes = reader.Bytes(
      "tcp_pending_bytes", settings.tcp_pending_bytes, 1u << 20, 1ull << 40,
      "Bytes of begun lines that the connections of a TCP or TLS listener may hold, each thread an "
      "equal part of them.");
  settings.udp_receive_buffer =
      reader.Bytes("udp_receive_buffer", settings.udp_receive_buffer, 4096, 1u << 30,
                   "Kernel buffer of each UDP thread; the system may grant less.");
  settings.batch_bytes =
      reader.Bytes("batch_bytes", settings.batch_bytes, 1024, 4u << 20,
                   "A batch of one source is closed at so many bytes of raw lines.");
  settings.batch_linger =
      reader.Duration("batch_linger", settings.batch_linger, milliseconds(1), seconds(10),
                      "A batch is closed so long after its first line.");
  settings.push_patience =
      reader.Duration("push_patience", settings.push_patience, milliseconds(0), minutes(1),
                      "How long a pushed batch, and all behind it in its stream, waits while the "
                      "flow Redis is full or no sources are known, before it is refused.");
  settings.spool_quota = reader.Bytes("spool_quota", settings.spool_quota, 1u << 20, 1ull << 40,
                                      "Disk for batches while the flow Redis takes none.");
  settings.flow_memory_budget =
      reader.Bytes("flow_memory_budget", settings.flow_memory_budget, 0, 1ull << 40,
                   "Nothing is added while the flow Redis uses more memory; 0: no limit of ours.");
  settings.parsers_folder = reader.String(
      "parsers_folder", settings.parsers_folder.string(),
      "Folder with descriptions of parsers (*.yaml) and Grok patterns (*.grok); empty: none.");
  settings.threat_lists_folder = reader.String(
      "threat_lists_folder", settings.threat_lists_folder.string(),
      "Folder of lists of addresses, networks, domains and file hashes (*.txt) that are marked in "
      "events; read again when it changes. Empty: none.");
  for (const std::string& file : reader.Strings(
           "geoip_files", {},
           "Files in MaxMind's format with countries or autonomous systems of addresses; replaced "
           "by renaming, they are read again.")) {
    settings.geoip_files.emplace_back(file);
  }
  settings.enrichment_refresh =
      reader.Duration("enrichment_refresh", settings.enrichment_refresh, milliseconds(100),
                      minutes(60), "How often files and the directory's assets are looked at.");
  settings.sources_refresh =
      reader.Duration("sources_refresh", settings.sources_refresh, milliseconds(100), minutes(10),
                      "How often the directory is asked for sources.");
  settings.sources_wait =
      reader.Duration("sources_wait", settings.sources_wait, milliseconds(0), minutes(10),
                      "How long lines wait for the first sources before they go to quarantine.");
  return settings;
}

}  // namespace yagura::ingestion
