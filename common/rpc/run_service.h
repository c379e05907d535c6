#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include "absl/status/statusor.h"

#include "common/config/settings_reader.h"
#include "common/rpc/app.h"

namespace yagura::rpc {

using MakeApp = std::function<absl::StatusOr<std::unique_ptr<App>>(const Platform&)>;

// A service's own part of main: reads its settings (the section of its name) and answers how to
// build the App from them. Called for --print-settings, too: it reads, and does nothing else.
using ReadSettings = std::function<MakeApp(config::SettingsReader&)>;

// Everything else of main: command line, settings file, platform, metrics, server, signals, stop.
//
//   int main(int argc, char** argv) {
//     return yagura::rpc::RunService(argc, argv, "ticketing", [](config::SettingsReader& reader) {
//       return [settings = Settings::Read(reader)](const rpc::Platform& platform) {
//         return TicketingApp::Make(settings, platform);
//       };
//     });
//   }
//
// Ends with 0 after SIGTERM or SIGINT, 2 for a wrong command line or settings, 3 where it could not
// start.
int RunService(int argc, char** argv, std::string_view name, const ReadSettings& read);

}  // namespace yagura::rpc
