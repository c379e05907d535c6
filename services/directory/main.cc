#include "common/rpc/run_service.h"
#include "services/directory/app.h"

int main(int argc, char** argv) {
  return yagura::rpc::RunService(
      argc, argv, "directory", [](yagura::config::SettingsReader& reader) -> yagura::rpc::MakeApp {
        return [settings = yagura::directory::ReadSettings(reader)](
                   const yagura::rpc::Platform& platform) {
          return yagura::directory::MakeApp(settings, platform);
        };
      });
}
